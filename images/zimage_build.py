"""Build a zImage.pseries: wrapper, kernel, initrd, ESM blob in one file (esm.md 6)."""

from __future__ import annotations

import gzip
from typing import Final

from pefstack.images.codec import Buffer
from pefstack.images.elf_build import NewSection, build_elf
from pefstack.images.elf_header import ET_DYN
from pefstack.images.zimage import CMDLINE, ESM_BLOB, INITRD, KERNEL, Zimage

COMMAND_LINE_SIZE: Final = 2048
_PAGE: Final = 0x1000
_LEVEL: Final = 9  # gzip -n -9


def build_zimage(
    wrapper: Buffer,
    vmlinux: Buffer,
    *,
    initrd: Buffer = b"",
    esm_blob: Buffer = b"",
    cmdline: bytes = b"",
) -> bytes:
    """The file that ``arch/powerpc/boot/wrapper`` links for a little-endian kernel.

    ``wrapper`` is its code; the kernel is compressed as with ``gzip -n -9``. Parts that
    are empty have no section, but that of the command line is always there. Raises
    `FormatError` for a kernel that is no ELF file.
    """
    packed = gzip.compress(bytes(vmlinux), _LEVEL, mtime=0)
    parts = (
        NewSection(name=KERNEL, data=packed, alignment=_PAGE),
        NewSection(name=INITRD, data=initrd, alignment=_PAGE),
        NewSection(name=ESM_BLOB, data=esm_blob, alignment=_PAGE),
    )
    line = cmdline.ljust(COMMAND_LINE_SIZE, b"\0")
    always = (
        NewSection(name=".text", data=wrapper, alignment=_PAGE),
        NewSection(name=CMDLINE, data=line),
    )
    there = tuple(each for each in parts if each.data)
    raw = build_elf((*always, *there), e_type=ET_DYN)
    Zimage.from_bytes(raw).vmlinux()
    return raw
