"""Flattened device tree: the header and where the three blocks are (esm.md 1.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pefstack.images.codec import U32, Buffer, Layout
from pefstack.images.errors import FormatError

NAME: Final = "FDT"
MAGIC: Final = 0xD00DFEED
VERSION: Final = 17  # what is written; adds size_dt_struct
FIRST_VERSION: Final = 16
HEADER_SIZE: Final = 40
HEADER_SIZE_16: Final = 36  # without size_dt_struct
RESERVE_ENTRY_SIZE: Final = 16
MAX_TREE_SIZE: Final = 0x400000

_HEADER: Final = Layout(
    NAME,
    magic=U32,
    totalsize=U32,
    off_dt_struct=U32,
    off_dt_strings=U32,
    off_mem_rsvmap=U32,
    version=U32,
    last_comp_version=U32,
    boot_cpuid_phys=U32,
    size_dt_strings=U32,
    size_dt_struct=U32,
)
OFFSETS: Final = _HEADER.offsets


@dataclass(frozen=True, slots=True, kw_only=True)
class FdtHeader:
    """40 bytes; all offsets and sizes in bytes, from the start of the tree.

    In version 16 the last four bytes belong to no field, and ``size_dt_struct`` has no
    meaning.
    """

    magic: int = MAGIC
    totalsize: int
    off_dt_struct: int
    off_dt_strings: int
    off_mem_rsvmap: int
    version: int = VERSION
    last_comp_version: int = FIRST_VERSION
    boot_cpuid_phys: int
    size_dt_strings: int
    size_dt_struct: int

    @classmethod
    def from_prefix(cls, raw: Buffer) -> tuple[FdtHeader, int]:
        """The header at the start of ``raw``, and its 40 bytes.

        Later versions that are compatible with 17 are read as 17. Raises `FormatError`
        for another magic or version, a total size out of bounds, and a block that is
        not aligned, touches the header or leaves the tree (not ``raw``, which may end
        with the header).
        """
        values = _HEADER.parse_prefix(raw)
        header = cls(**values)
        _check_versions(header)
        _check_blocks(header)
        return header, HEADER_SIZE

    def to_bytes(self) -> bytes:
        """40 bytes; `FormatError` if a value does not fit into its field."""
        return _HEADER.build(self)

    @property
    def header_size(self) -> int:
        """Where the first block may begin."""
        return HEADER_SIZE_16 if self.version < VERSION else HEADER_SIZE

    @property
    def end_dt_struct(self) -> int:
        """Where the struct block ends: in version 16 where another begins."""
        if self.version >= VERSION:
            return self.off_dt_struct + self.size_dt_struct
        return self._next_block(self.off_dt_struct)

    @property
    def end_mem_rsvmap(self) -> int:
        """Where the reserve map ends at the latest; its size is nowhere."""
        return self._next_block(self.off_mem_rsvmap)

    @property
    def end_dt_strings(self) -> int:
        """Where the strings block ends."""
        return self.off_dt_strings + self.size_dt_strings

    def _next_block(self, start: int) -> int:
        """The first block behind this offset, or the end of the tree."""
        blocks = (self.off_dt_struct, self.off_dt_strings, self.off_mem_rsvmap)
        behind = (each for each in blocks if each > start)
        return min(behind, default=self.totalsize)


def _check_versions(header: FdtHeader) -> None:
    version, last = header.version, header.last_comp_version
    if header.magic != MAGIC:
        raise _wrong(header, "magic", f"0x{MAGIC:x}")
    if version < FIRST_VERSION:
        raise _wrong(header, "version", f"at least 0x{FIRST_VERSION:x}")
    if last > min(version, VERSION):
        raise _wrong(
            header, "last_comp_version", f"at most 0x{min(version, VERSION):x}"
        )


def _check_blocks(header: FdtHeader) -> None:
    total = header.totalsize
    if not HEADER_SIZE <= total <= MAX_TREE_SIZE:
        limit = f"0x{HEADER_SIZE:x} to 0x{MAX_TREE_SIZE:x}"
        raise _wrong(header, "totalsize", limit)
    _check_start(header, "off_mem_rsvmap", 8, RESERVE_ENTRY_SIZE)
    _check_start(header, "off_dt_struct", 4, 4)
    _check_start(header, "off_dt_strings", 1, 0)
    if header.end_dt_strings > total:
        raise _wrong(header, "size_dt_strings", f"an end at 0x{total:x} at most")
    if header.end_dt_struct > total:
        raise _wrong(header, "size_dt_struct", f"an end at 0x{total:x} at most")


def _check_start(header: FdtHeader, field: str, alignment: int, room: int) -> None:
    start = getattr(header, field)
    last = header.totalsize - room
    if start % alignment or not header.header_size <= start <= last:
        limit = f"0x{header.header_size:x} to 0x{last:x}, a multiple of {alignment}"
        raise _wrong(header, field, limit)


def _wrong(header: FdtHeader, field: str, expected: str) -> FormatError:
    found = f"0x{getattr(header, field):x}"
    return FormatError(NAME, field, OFFSETS[field], found, expected)
