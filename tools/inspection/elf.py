"""An ELF file, vmlinux or zImage: its sections, and the flat image that is hashed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from pefstack.images.codec import Buffer
from pefstack.images.elf import Elf, ElfSection
from pefstack.images.elf_header import HEADER_SIZES, SECTION_SIZES, SEGMENT_SIZES
from pefstack.images.errors import FormatError
from pefstack.images.flat_image import flat_image
from pefstack.images.zimage import CMDLINE, ESM_BLOB, KERNEL, Zimage, is_zimage
from pefstack.tools.inspection.cpio import BLOB_WORDS
from pefstack.tools.inspection.region import Region, rest


def elf_regions(raw: Buffer) -> Iterator[Region]:
    """Every part of the file by its place; `FormatError` if it is broken."""
    elf = Elf.from_bytes(raw)
    zimage = Zimage.from_elf(elf) if is_zimage(elf) else None
    found = [*_tables(elf, zimage)]
    found += [_section(elf, each, zimage) for each in elf.sections if each.has_contents]
    at = 0
    for region in sorted(found, key=lambda each: each.offset):
        yield from rest(raw, at, region.offset)
        yield region
        at = max(at, region.offset + region.size)
    yield from rest(raw, at, len(raw))


def _tables(elf: Elf, zimage: Zimage | None) -> Iterator[Region]:
    header = elf.header
    what = "zImage" if zimage else flat_words(elf)
    value = (
        f"ELF{header.bits}, {header.order}-endian, machine {header.e_machine}; {what}"
    )
    yield Region(offset=0, size=HEADER_SIZES[header.bits], name="header", value=value)
    for name, at, count, size in (
        ("program headers", header.e_phoff, header.e_phnum, SEGMENT_SIZES[header.bits]),
        ("section headers", header.e_shoff, header.e_shnum, SECTION_SIZES[header.bits]),
    ):
        if count:
            yield Region(offset=at, size=count * size, name=name, value=f"{count}")


def _section(elf: Elf, section: ElfSection, zimage: Zimage | None) -> Region:
    return Region(
        offset=section.sh_offset,
        size=section.sh_size,
        name=section.name or "section",
        value=_words(section.name, zimage) if zimage else "",
    )


def _words(name: str, zimage: Zimage) -> str:
    if name == KERNEL:
        return f"{zimage.compression}; {_kernel_words(zimage)}"
    if name == CMDLINE:
        return repr(zimage.cmdline) if zimage.cmdline else "empty"
    if name != ESM_BLOB:
        return ""
    if zimage.esm_blob is None:
        return "a 32-bit wrapper does not look at it"
    return BLOB_WORDS.get(bytes(zimage.esm_blob[:4]), "neither ESM blob nor operand")


def _kernel_words(zimage: Zimage) -> str:
    try:
        vmlinux = zimage.vmlinux()
    except FormatError as broken:
        return f"broken: {broken}"
    return f"unpacks to 0x{len(vmlinux.raw):x} bytes; {flat_words(vmlinux)}"


def flat_words(elf: Elf) -> str:
    """Size and digest of the flat image, or why there is none."""
    try:
        image = flat_image(elf)
    except FormatError as none:
        return f"no flat image: {none}"
    digest = hashlib.sha512(image).hexdigest()
    return f"flat image 0x{len(image):x} bytes, SHA-512 {digest}"
