"""Lay out sections in a new XIP image (boot-chain.md 2.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pefstack.images.codec import Buffer
from pefstack.images.errors import FormatError
from pefstack.images.xip import (
    HEADER_SECTION,
    HEADER_SIZE,
    IMAGE_ALIGNMENT,
    MAX_ALIGNMENT,
    NAME,
    SECTION_COUNT,
    SECTION_NAMES,
    SECTION_TABLE_OFFSET,
    XipHeader,
    XipImage,
    XipSection,
)

ENTRY_SECTION: Final = ".loader_text"
MAX_IMAGE_SIZE: Final = 1 << 24  # far above any SEEPROM


def build_image(
    sections: Mapping[str, Buffer],
    *,
    link_address: int = 0,
    entry_pointer: int | None = None,
    alignment: int = IMAGE_ALIGNMENT,
) -> XipImage:
    """An image with these sections behind its header, in the order of the table.

    Each begins at a multiple of ``alignment``; what lies between them is zero. The
    entry pointer is the address of `.loader_text` unless it is given. An empty section
    is absent. Raises `FormatError` for a name that no section has, or a bad alignment.
    """
    _check_arguments(sections, alignment)
    raw = bytearray(HEADER_SIZE)
    table = {HEADER_SECTION: XipSection(size=HEADER_SIZE, alignment=IMAGE_ALIGNMENT)}
    for name in SECTION_NAMES[1:]:
        content = sections.get(name, b"")
        raw += bytes(-len(raw) % alignment if len(content) else 0)
        offset = len(raw) if len(content) else 0
        table[name] = XipSection(offset=offset, size=len(content), alignment=alignment)
        raw += content
    raw += bytes(-len(raw) % IMAGE_ALIGNMENT)
    if entry_pointer is None:
        entry_pointer = link_address + table[ENTRY_SECTION].offset
    header = XipHeader(
        l1_loader_address=entry_pointer,
        link_address=link_address,
        sections=(*table.values(), *[XipSection()] * (SECTION_COUNT - len(table))),
        image_size=len(raw),
    )
    raw[:HEADER_SIZE] = header.to_bytes()
    return XipImage.from_bytes(raw)


def _check_arguments(sections: Mapping[str, Buffer], alignment: int) -> None:
    if unknown := sections.keys() - SECTION_NAMES[1:]:
        names = " ".join(sorted(unknown))
        raise FormatError(NAME, "sections", SECTION_TABLE_OFFSET, names, "known names")
    if alignment not in {1 << power for power in range(3, 8)}:
        limit = f"a power of two from 0x8 to 0x{MAX_ALIGNMENT:x}"
        raise FormatError(NAME, "alignment", 0, f"0x{alignment:x}", limit)
    size = sum(len(each) for each in sections.values())
    if size > MAX_IMAGE_SIZE:
        limit = f"at most 0x{MAX_IMAGE_SIZE:x}"
        raise FormatError(NAME, "image_size", 0, f"0x{size:x}", limit)
