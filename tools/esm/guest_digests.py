"""The digests of a guest's parts, as the ultravisor will compute them (esm.md 1.5)."""

from __future__ import annotations

from hashlib import sha512
from typing import Final

from pefstack.images.codec import Buffer
from pefstack.images.elf import Elf
from pefstack.images.esm_digests import PARTS, EsmDigests
from pefstack.tools.errors import UsageError
from pefstack.tools.guest_parts import elf_parts, initramfs_rest

ALL: Final = (*PARTS, "kernel-size")


def guest_digests(kernel: Buffer, initramfs: Buffer, bootargs: str) -> EsmDigests:
    """Of a vmlinux or zImage, an initramfs, and a command line without its NUL.

    A blob's archive in front of the initramfs is left out. Raises `FormatError` for a
    kernel that is none, `UsageError` for a command line with a NUL.
    """
    flat = elf_parts(Elf.from_bytes(kernel)).kernel or b""
    return EsmDigests(
        kernel_size=len(flat),
        kernel=sha512(flat).digest(),
        initrd=sha512(initramfs_rest(initramfs)).digest(),
        bootargs=sha512(_line(bootargs)).digest(),
    )


def _line(bootargs: str) -> bytes:
    line = bootargs.encode("utf-8", "surrogateescape")
    if b"\0" in line:
        raise UsageError("the command line has a NUL in it, and would end there")
    return line


def differing(wanted: EsmDigests, found: EsmDigests) -> tuple[str, ...]:
    """The parts that differ, by their names in the digest tree; see `ALL`."""
    parts = wanted.differing({name: getattr(found, name) for name in PARTS})
    size = () if wanted.kernel_size == found.kernel_size else ("kernel-size",)
    return *parts, *size
