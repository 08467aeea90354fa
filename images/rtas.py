"""The RTAS text of a pseries guest: what the ultravisor hashes (esm.md 1.5)."""

from __future__ import annotations

from typing import Final

RTAS_TEXT: Final = bytes.fromhex("7c641b783c6000006063f000440000224e800020")
"""mr r4,r3; lis r3,0; ori r3,r3,0xf000; sc 1; blr: the hypercall H_RTAS, and back."""

RTAS_SIZE: Final = 0x82C  # text and data, as QEMU says it in rtas-size
OS_TERM_TOKEN: Final = 0x201F  # ibm,os-term
