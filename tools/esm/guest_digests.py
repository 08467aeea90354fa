"""The digests of a guest's parts, as the ultravisor will compute them (esm.md 1.5)."""

from __future__ import annotations

from hashlib import sha512
from typing import Final

from pefstack.images.codec import Buffer
from pefstack.images.elf import Elf
from pefstack.images.errors import FormatError
from pefstack.images.esm_digests import PARTS, EsmDigests
from pefstack.images.flat_image import flat_image
from pefstack.images.initramfs import find_blob
from pefstack.images.zimage import Zimage, is_zimage
from pefstack.tools.errors import UsageError

ALL: Final = (*PARTS, "kernel-size")


def guest_digests(kernel: Buffer, initramfs: Buffer, bootargs: str) -> EsmDigests:
    """Of a vmlinux or zImage, an initramfs, and a command line without its NUL.

    A blob's archive in front of the initramfs is left out. Raises `FormatError` for a
    kernel that is none, `UsageError` for a command line with a NUL.
    """
    flat = _flat(kernel)
    return EsmDigests(
        kernel_size=len(flat),
        kernel=sha512(flat).digest(),
        initrd=sha512(without_blob(initramfs)).digest(),
        bootargs=sha512(_line(bootargs)).digest(),
    )


def _flat(kernel: Buffer) -> bytes:
    """Of a zImage, the kernel that its wrapper unpacks and starts."""
    elf = Elf.from_bytes(kernel)
    return flat_image(Zimage.from_elf(elf).vmlinux() if is_zimage(elf) else elf)


def without_blob(initramfs: Buffer) -> memoryview:
    """What of an initramfs is hashed: all of it, where no blob is in front."""
    try:
        return find_blob(initramfs).rest_of(initramfs)
    except FormatError:
        return memoryview(initramfs)


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
