"""ELF: sections and segments of a file, all places checked (esm.md 6.1, 6.2)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from pefstack.images.codec import Buffer
from pefstack.images.elf_header import (
    NAME,
    SECTION_SIZES,
    SEGMENT_SIZES,
    ElfHeader,
    layout_of,
)
from pefstack.images.errors import FormatError

SHT_NULL: Final = 0
SHT_STRTAB: Final = 3
SHT_NOBITS: Final = 8
SHF_ALLOC: Final = 2
PT_LOAD: Final = 1
MAX_NAME_SIZE: Final = 256

_SECTIONS: Final = {32: "IIIIIIIIII", 64: "IIQQQQIIQQ"}
_SEGMENTS: Final = {32: "IIIIIIII", 64: "IIQQQQQQ"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ElfSection:
    """One section; offset and size in bytes, as in the section header."""

    name: str
    sh_type: int
    sh_flags: int
    sh_addr: int
    sh_offset: int
    sh_size: int

    @property
    def has_contents(self) -> bool:
        """Whether the file has bytes of it."""
        return self.sh_type not in (SHT_NULL, SHT_NOBITS) and self.sh_size > 0

    @property
    def is_loaded(self) -> bool:
        """Whether it has bytes that are in memory when the program starts."""
        return self.has_contents and bool(self.sh_flags & SHF_ALLOC)


@dataclass(frozen=True, slots=True, kw_only=True)
class ElfSegment:
    """One program header; offset and sizes in bytes."""

    p_type: int
    p_flags: int
    p_offset: int
    p_vaddr: int
    p_paddr: int
    p_filesz: int
    p_memsz: int
    p_align: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Elf:
    """A file with its tables; ``raw`` is all of it."""

    header: ElfHeader
    sections: tuple[ElfSection, ...]
    segments: tuple[ElfSegment, ...]
    raw: memoryview = field(repr=False)

    @classmethod
    def from_bytes(cls, raw: Buffer) -> Elf:
        """The file; contents are not copied.

        Raises `FormatError` for what `ElfHeader.from_prefix` refuses, sections with
        contents and segments that leave ``raw``, and names that do not end inside
        their string table.
        """
        view = memoryview(raw)
        header, _ = ElfHeader.from_prefix(view)
        return cls(
            header=header,
            sections=_sections(view, header),
            segments=_segments(view, header),
            raw=view,
        )

    def content_of(self, section: ElfSection) -> memoryview:
        """The bytes of a section in the file; none for those without contents."""
        size = section.sh_size if section.has_contents else 0
        return self.raw[section.sh_offset :][:size]

    def named(self, name: str) -> ElfSection | None:
        """The one section of this name, if there is one; `FormatError` for two."""
        found = [each for each in self.sections if each.name == name]
        if len(found) > 1:
            at = found[1].sh_offset
            raise FormatError(NAME, "section name", at, f"{name} again", "once")
        return found[0] if found else None


Row = tuple[int, ...]


def _sections(view: memoryview, header: ElfHeader) -> tuple[ElfSection, ...]:
    start, size = header.e_shoff, header.e_shnum * SECTION_SIZES[header.bits]
    layout = layout_of(header.order, _SECTIONS[header.bits])
    rows = [*layout.iter_unpack(view[start : start + size])]
    for number, row in enumerate(rows):
        _check_row(header, number, row, len(view))
    if not rows:
        return ()
    names = _string_table(view, header, rows)
    return tuple(_section(header, n, row, names) for n, row in enumerate(rows))


def _check_row(header: ElfHeader, number: int, row: Row, size: int) -> None:
    _, kind, _, _, offset, length, *_ = row
    if kind not in (SHT_NULL, SHT_NOBITS) and offset + length > size:
        found = f"0x{length:x} bytes at 0x{offset:x}"
        end = f"an end at 0x{size:x} at most"
        raise FormatError(
            NAME, f"section {number}", _row_at(header, number), found, end
        )


def _string_table(view: memoryview, header: ElfHeader, rows: list[Row]) -> bytes:
    _, kind, _, _, offset, size, *_ = rows[header.e_shstrndx]
    if kind != SHT_STRTAB:
        at = _row_at(header, header.e_shstrndx)
        raise FormatError(NAME, "string table", at, f"type 0x{kind:x}", "type 0x3")
    return bytes(view[offset : offset + size])


def _section(header: ElfHeader, number: int, row: Row, names: bytes) -> ElfSection:
    start, kind, flags, address, offset, size, *_ = row
    end = names.find(b"\0", start, start + MAX_NAME_SIZE)
    if end < 0:
        at, found = _row_at(header, number), f"0x{start:x}, no NUL behind it"
        limit = f"a name in the 0x{len(names):x} bytes of the string table"
        raise FormatError(NAME, "sh_name", at, found, limit)
    return ElfSection(
        name=names[start:end].decode("latin-1"),
        sh_type=kind,
        sh_flags=flags,
        sh_addr=address,
        sh_offset=offset,
        sh_size=size,
    )


def _row_at(header: ElfHeader, number: int) -> int:
    return header.e_shoff + number * header.e_shentsize


def _segments(view: memoryview, header: ElfHeader) -> tuple[ElfSegment, ...]:
    start, size = header.e_phoff, header.e_phnum * SEGMENT_SIZES[header.bits]
    layout = layout_of(header.order, _SEGMENTS[header.bits])
    rows = layout.iter_unpack(view[start : start + size])
    found = tuple(_segment(header, row) for row in rows)
    for number, segment in enumerate(found):
        if segment.p_offset + segment.p_filesz > len(view):
            at = start + number * SEGMENT_SIZES[header.bits]
            text = f"0x{segment.p_filesz:x} bytes at 0x{segment.p_offset:x}"
            end = f"an end at 0x{len(view):x} at most"
            raise FormatError(NAME, f"segment {number}", at, text, end)
    return found


def _segment(header: ElfHeader, row: Row) -> ElfSegment:
    """The flags stand behind the type, or in ELF32 last but one."""
    kind, *rest = row
    flags = rest.pop(0 if header.bits == 64 else 5)
    offset, vaddr, paddr, filesz, memsz, align = rest
    return ElfSegment(
        p_type=kind,
        p_flags=flags,
        p_offset=offset,
        p_vaddr=vaddr,
        p_paddr=paddr,
        p_filesz=filesz,
        p_memsz=memsz,
        p_align=align,
    )
