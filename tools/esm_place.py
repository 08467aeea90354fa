"""Where an operand or blob lies: its own file, an initramfs, a zImage (esm.md 5.8)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pefstack.images.codec import Buffer
from pefstack.images.cpio_header import MAGIC as CPIO_MAGIC
from pefstack.images.elf_header import MAGIC as ELF_MAGIC
from pefstack.images.errors import FormatError
from pefstack.images.esm_operand import EsmOperand
from pefstack.images.initramfs import BLOB_MAGIC, find_blob
from pefstack.images.zimage import ESM_BLOB, INITRD, Zimage
from pefstack.tools.errors import UsageError

BARE: Final = "operand"  # or a blob, in a file of its own
IN_INITRAMFS: Final = "initramfs"
IN_ZIMAGE: Final = "zImage"


@dataclass(frozen=True, slots=True, kw_only=True)
class EsmPlace:
    """``room`` bytes at ``offset`` of a file of this ``form`` are for the operand.

    ``rest`` is where in the file an initramfs goes on behind the operand's archive, 0
    where it has no trailer or where there is no archive.
    """

    form: str
    offset: int = 0
    room: int
    rest: int = 0

    def bytes_of(self, image: Buffer) -> memoryview:
        """The operand, and what its file or section has behind it."""
        return memoryview(image)[self.offset : self.offset + self.room]


def find_esm(image: Buffer) -> EsmPlace:
    """Where the ultravisor would find the operand; it is not looked into.

    What is neither cpio nor ELF is taken for a bare operand, and an ESM blob of version
    1 is found as well. Raises `FormatError` for a broken image and one with neither.
    """
    if _begins(image, CPIO_MAGIC):
        return _in_initramfs(image, IN_INITRAMFS, range(len(image)))
    if _begins(image, ELF_MAGIC):
        return _in_zimage(Zimage.from_bytes(image))
    return EsmPlace(form=BARE, room=len(image))


def operand_at(image: Buffer, place: EsmPlace) -> EsmOperand:
    """The operand there; `UsageError` for an ESM blob, or `OperandError`."""
    raw = place.bytes_of(image)
    if _begins(raw, BLOB_MAGIC):
        mend = "`pef esm display` shows it"
        raise UsageError(f"found an ESM blob (v1), expected an operand (v2); {mend}")
    return EsmOperand.from_bytes(raw)


def changed_image(image: Buffer, change: Callable[[Buffer], bytes]) -> bytes:
    """The image with the operand in it changed; it must keep its size.

    Raises what `find_esm` and `operand_at` do, and whatever ``change`` raises.
    """
    place = find_esm(image)
    operand_at(image, place)
    old = bytes(place.bytes_of(image))
    new = change(old)
    if len(new) != len(old):
        raise ValueError(f"an operand of 0x{len(new):x} bytes for 0x{len(old):x}")
    end = place.offset + place.room
    return b"".join((image[: place.offset], new, image[end:]))


def _begins(image: Buffer, magic: bytes) -> bool:
    return bytes(image[: len(magic)]) == magic


def _in_initramfs(image: Buffer, form: str, place: range) -> EsmPlace:
    initramfs = memoryview(image)[place.start : place.stop]
    blob = find_blob(initramfs)
    return EsmPlace(
        form=form,
        offset=place.start + blob.offset,
        room=blob.room,
        rest=place.start + blob.archive_size if blob.archive_size else 0,
    )


def _in_zimage(zimage: Zimage) -> EsmPlace:
    """In its own section; the wrapper's initramfs counts only without one."""
    section = zimage.elf.named(ESM_BLOB)
    if zimage.esm_blob is not None and section is not None:
        at, size = section.sh_offset, section.sh_size
        return EsmPlace(form=IN_ZIMAGE, offset=at, room=size)
    initrd = zimage.elf.named(INITRD)
    if zimage.initrd is None or initrd is None:
        right = f"{ESM_BLOB} of a 64-bit wrapper, or {INITRD}"
        raise FormatError("zImage", "section", 0, "none with an operand", right)
    place = range(initrd.sh_offset, initrd.sh_offset + initrd.sh_size)
    return _in_initramfs(zimage.elf.raw, IN_ZIMAGE, place)
