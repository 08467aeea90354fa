"""The flat image of a kernel: what lies in memory and is hashed (esm.md 1.5).

It is what ``objcopy -O binary -S`` makes of the ELF file: sections, not segments.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from pefstack.images.elf import PT_LOAD, Elf, ElfSection, ElfSegment
from pefstack.images.elf_header import NAME
from pefstack.images.errors import FormatError

MAX_IMAGE_SIZE: Final = 0x10000000

Placed = tuple[int, ElfSection]  # with its load address


def flat_image(elf: Elf, *, limit: int = MAX_IMAGE_SIZE) -> bytes:
    """Loaded sections by their load addresses, from the lowest on; zeros in gaps.

    Raises `FormatError` for no loaded section, more than ``limit`` bytes, sections that
    overlap, and one that lies elsewhere in its segment than in the file: tools do not
    agree on these.
    """
    return b"".join(_parts(elf, _placed(elf, limit)))


def flat_size(elf: Elf, *, limit: int = MAX_IMAGE_SIZE) -> int:
    """How long the flat image is, without making it; errors as `flat_image`."""
    placed = _placed(elf, limit)
    return _end(placed[-1]) - placed[0][0]


def _placed(elf: Elf, limit: int) -> list[Placed]:
    addresses = _LoadAddresses(elf)
    loaded = (each for each in elf.sections if each.is_loaded)
    placed = sorted(((addresses.of(each), each) for each in loaded), key=_start)
    if not placed:
        raise FormatError(NAME, "sections", 0, "none that is loaded", "one at least")
    for one, other in pairwise(placed):
        if _end(one) > other[0]:
            found = f"{other[1].name} at 0x{other[0]:x}"
            right = f"it behind 0x{_end(one):x}, the end of {one[1].name}"
            at = other[1].sh_offset
            raise FormatError(NAME, "load address", at, found, right)
    size = _end(placed[-1]) - placed[0][0]
    if size > limit:
        most = f"at most 0x{limit:x}"
        raise FormatError(NAME, "flat image size", 0, f"0x{size:x}", most)
    return placed


def _parts(elf: Elf, placed: list[Placed]) -> Iterator[memoryview | bytes]:
    at = placed[0][0]
    for address, section in placed:
        yield bytes(address - at)
        yield elf.content_of(section)
        at = address + section.sh_size


def _start(placed: Placed) -> int:
    return placed[0]


def _end(placed: Placed) -> int:
    return placed[0] + placed[1].sh_size


class _LoadAddresses:
    """By the PT_LOAD that holds a section; outside of all, where it is linked to.

    objcopy does not believe physical addresses that are all zero, when there are
    several segments: then the load address is where a section is linked to as well.
    """

    def __init__(self, elf: Elf) -> None:
        loads = [each for each in elf.segments if each.p_type == PT_LOAD]
        filled = [each for each in loads if each.p_memsz]
        believed = any(each.p_paddr for each in elf.segments) or len(filled) < 2
        self._loads = loads if believed else []

    def of(self, section: ElfSection) -> int:
        for segment in self._loads:
            if _holds(segment, section):
                _check_place(segment, section)
                return section.sh_addr - segment.p_vaddr + segment.p_paddr
        return section.sh_addr


def _holds(segment: ElfSegment, section: ElfSection) -> bool:
    end = segment.p_vaddr + segment.p_memsz
    return (
        segment.p_vaddr <= section.sh_addr and section.sh_addr + section.sh_size <= end
    )


def _check_place(segment: ElfSegment, section: ElfSection) -> None:
    into = section.sh_addr - segment.p_vaddr
    right = segment.p_offset + into
    if section.sh_offset != right or into + section.sh_size > segment.p_filesz:
        found = f"{section.name} at 0x{section.sh_offset:x}"
        expected = f"0x{right:x}, inside the bytes of its segment"
        raise FormatError(NAME, "sh_offset", section.sh_offset, found, expected)
