"""The parts of a guest that are measured, and what their files hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from pefstack.images.codec import Buffer
from pefstack.images.compressed import compression_of
from pefstack.images.elf import Elf
from pefstack.images.elf_header import MAGIC as ELF_MAGIC
from pefstack.images.errors import FormatError
from pefstack.images.esm_integrity import (
    COMMAND_LINE,
    INITRAMFS,
    KERNEL,
    RTAS,
    Measured,
)
from pefstack.images.flat_image import MAX_IMAGE_SIZE, flat_image
from pefstack.images.initramfs import find_blob
from pefstack.images.zimage import Zimage, is_zimage
from pefstack.tools.errors import UsageError

RTAS_TEXT: Final = bytes.fromhex("7c641b783c6000006063f000440000224e800020")
"""The RTAS text of all known guests, 20 bytes of code (esm.md 1.5)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestParts:
    """A guest, or what is known of it; None is a part that is not looked at.

    ``kernel`` is the flat image, ``initramfs`` without the archive of an operand,
    ``command_line`` without NUL.
    """

    kernel: Buffer | None = field(default=None, repr=False)
    initramfs: Buffer | None = field(default=None, repr=False)
    command_line: bytes | None = None
    rtas: Buffer | None = field(default=RTAS_TEXT, repr=False)

    def measured(self) -> dict[int, Measured]:
        """Length and SHA-512 by type, of the parts that are there."""
        return {kind: Measured.of(each) for kind, each in self._present()}

    def _present(self) -> Iterator[tuple[int, Buffer]]:
        for kind, each in (
            (KERNEL, self.kernel),
            (COMMAND_LINE, self.command_line),
            (INITRAMFS, self.initramfs),
            (RTAS, self.rtas),
        ):
            if each is not None:
                yield kind, each


def kernel_parts(raw: Buffer) -> GuestParts:
    """What a kernel's file holds: the flat image, of a zImage also the rest.

    ``raw`` is a vmlinux, a zImage, or else the flat image itself. Raises `UsageError`
    for no bytes and for a file that is compressed as a whole, `FormatError` for a
    broken ELF file.
    """
    if bytes(raw[: len(ELF_MAGIC)]) == ELF_MAGIC:
        return elf_parts(Elf.from_bytes(raw))
    if compression := compression_of(memoryview(raw)):
        raise UsageError(f"kernel: compressed ({compression.name}); unpack it first")
    if not 0 < len(raw) <= MAX_IMAGE_SIZE:
        limit = f"1 to 0x{MAX_IMAGE_SIZE:x}"
        raise UsageError(f"kernel: found 0x{len(raw):x} bytes, expected {limit}")
    return GuestParts(kernel=raw)


def elf_parts(elf: Elf) -> GuestParts:
    """As `kernel_parts`; of a zImage the kernel that its wrapper unpacks and starts."""
    if not is_zimage(elf):
        return GuestParts(kernel=flat_image(elf))
    zimage = Zimage.from_elf(elf)
    return GuestParts(
        kernel=flat_image(zimage.vmlinux()),
        initramfs=zimage.initrd,
        command_line=zimage.cmdline,
    )


def initramfs_rest(raw: Buffer) -> Buffer:
    """What the ultravisor hashes of an initramfs: all but an archive with a blob."""
    try:
        return find_blob(raw).rest_of(raw)
    except FormatError:
        return raw
