"""Build an ELF file of one segment: a 64-bit little-endian POWER program (esm.md 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from pefstack.images.codec import Buffer
from pefstack.images.cpio_header import aligned
from pefstack.images.elf import (
    PT_LOAD,
    SHF_ALLOC,
    SHT_NOBITS,
    SHT_STRTAB,
    Elf,
)
from pefstack.images.elf_header import (
    ET_EXEC,
    HEADER_SIZES,
    SECTION_SIZES,
    SEGMENT_SIZES,
    ElfHeader,
    layout_of,
)

PAGE: Final = 0x1000
ABI_V2: Final = 2
SHT_PROGBITS: Final = 1
_READ_WRITE_EXECUTE: Final = 7
_NAMES: Final = ".shstrtab"
_SECTION: Final = layout_of("little", "IIQQQQIIQQ")
_SEGMENT: Final = layout_of("little", "IIQQQQQQ")
_NONE: Final = bytes(_SECTION.size)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSection:
    """A section that is loaded; ``zeros`` bytes without contents, as ``.bss`` has."""

    name: str
    data: Buffer = field(default=b"", repr=False)
    alignment: int = 8
    zeros: int = 0

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return len(self.data) + self.zeros


def build_elf(
    sections: Sequence[NewSection], *, e_type: int = ET_EXEC, address: int = 0
) -> bytes:
    """The sections one after the other from ``address`` on, physically from 0 on.

    A section of ``zeros`` comes last and has no data. All are in one PT_LOAD that
    begins in the file at 0x1000. Raises `FormatError` for what does not fit.
    """
    places = _places(sections)
    contents = _contents(sections, places)
    names = b"".join(
        b"\0" + each.encode() for each in (*(s.name for s in sections), _NAMES)
    )
    names_at, rows_at = len(contents), aligned(len(contents) + len(names) + 1, 8)
    rows = _rows(sections, places, address, names + b"\0", names_at)
    head = _header(e_type, address, rows_at, len(sections) + 2).to_bytes()
    end = places[-1] + sections[-1].size
    head += _segment(address, names_at - PAGE, end - PAGE)
    contents[: len(head)] = head
    raw = bytes(contents + names).ljust(rows_at, b"\0") + rows
    return bytes(Elf.from_bytes(raw).raw)


def _contents(sections: Sequence[NewSection], places: list[int]) -> bytearray:
    """The file up to the end of the last contents, with room for the headers."""
    contents = bytearray(PAGE)
    for section, at in zip(sections, places, strict=True):
        if section.data:
            contents = contents.ljust(at, b"\0") + bytes(section.data)
    return contents


def _header(e_type: int, address: int, rows_at: int, rows: int) -> ElfHeader:
    return ElfHeader(
        e_type=e_type,
        e_entry=address,
        e_flags=ABI_V2,
        e_phoff=HEADER_SIZES[64],
        e_phnum=1,
        e_phentsize=SEGMENT_SIZES[64],
        e_shoff=rows_at,
        e_shentsize=SECTION_SIZES[64],
        e_shnum=rows,
        e_shstrndx=rows - 1,
    )


def _places(sections: Sequence[NewSection]) -> list[int]:
    """Where each begins in the file; memory has the same distances."""
    at, places = PAGE, []
    for section in sections:
        at = aligned(at, section.alignment)
        places.append(at)
        at += section.size
    return places


def _segment(address: int, in_file: int, in_memory: int) -> bytes:
    places = (PAGE, address, 0, in_file, in_memory, PAGE)
    return _SEGMENT.pack(PT_LOAD, _READ_WRITE_EXECUTE, *places)


def _rows(
    sections: Sequence[NewSection],
    places: list[int],
    address: int,
    names: bytes,
    names_at: int,
) -> bytes:
    rows = [_NONE]
    for section, at in zip(sections, places, strict=True):
        name = names.index(b"\0" + section.name.encode() + b"\0") + 1
        kind = SHT_NOBITS if section.zeros else SHT_PROGBITS
        place = (address + at - PAGE, at, section.size)
        rows.append(
            _SECTION.pack(name, kind, SHF_ALLOC, *place, 0, 0, section.alignment, 0)
        )
    name = names.index(b"\0" + _NAMES.encode() + b"\0") + 1
    last = (0, names_at, len(names))
    rows.append(_SECTION.pack(name, SHT_STRTAB, 0, *last, 0, 0, 1, 0))
    return b"".join(rows)
