"""FFS partition table of a flash image: header and table (boot-chain.md 2.1)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from pefstack.images.codec import U32, Buffer, Layout, octets
from pefstack.images.errors import FormatError
from pefstack.images.ffs_entry import (
    ENTRY_SIZE,
    NAME,
    FfsEntry,
    check_checksum,
    with_checksum,
)

MAGIC: Final = 0x50415254  # PART
HEADER_SIZE: Final = 48
BLOCK_SIZE: Final = 0x1000
MAX_TABLE_SIZE: Final = 0x8000  # of the layouts in use; bounds what is read
MAX_ENTRY_COUNT: Final = (MAX_TABLE_SIZE - HEADER_SIZE) // ENTRY_SIZE

_HEADER: Final = Layout(
    NAME,
    magic=U32,
    version=U32,
    size=U32,
    entry_size=U32,
    entry_count=U32,
    block_size=U32,
    block_count=U32,
    reserved=octets(16),
    checksum=U32,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FfsHeader:
    """48 bytes; ``size`` and ``block_count`` are in blocks of ``block_size`` bytes."""

    magic: int = MAGIC
    version: int = 1
    size: int
    entry_size: int = ENTRY_SIZE
    entry_count: int
    block_size: int = BLOCK_SIZE
    block_count: int
    reserved: bytes = bytes(16)

    @classmethod
    def from_prefix(
        cls, raw: Buffer, *, any_block_size: bool = False
    ) -> tuple[FfsHeader, int]:
        """The header at the start of ``raw``, and its size.

        Raises `FormatError` for what Hostboot rejects, in this order: magic, version,
        entry_size, entry_count, block_size (unless ``any_block_size``), block_count,
        entries longer than the table, checksum.
        """
        values = _HEADER.parse_prefix(raw)
        checksum = values.pop("checksum")
        header = cls(**values)
        _check_fixed(header)
        _check_counts(header, any_block_size)
        check_checksum("checksum", 0, bytes(raw[:HEADER_SIZE]), checksum)
        return header, HEADER_SIZE

    def to_bytes(self) -> bytes:
        """48 bytes with the checksum that follows from the others.

        Raises `FormatError` when a number does not fit into its field.
        """
        return with_checksum(_HEADER.build(self, checksum=0))

    @property
    def used_size(self) -> int:
        """Bytes that header and entries take, without the filling behind them."""
        return HEADER_SIZE + self.entry_count * ENTRY_SIZE


@dataclass(frozen=True, slots=True, kw_only=True)
class FfsTable:
    """The header and its entries; the first one usually describes the table itself."""

    header: FfsHeader
    entries: tuple[FfsEntry, ...]

    @classmethod
    def from_prefix(
        cls,
        raw: Buffer,
        *,
        flash_size: int | None = None,
        any_block_size: bool = False,
    ) -> tuple[FfsTable, int]:
        """The table at the start of ``raw``, and the bytes header and entries take.

        Raises `FormatError` for what Hostboot rejects: the header first, in the order
        of `FfsHeader.from_prefix`, then each entry in turn: its checksum, its name, its
        end past the last block (or past ``flash_size`` bytes, if those are fewer).
        """
        header, _ = FfsHeader.from_prefix(raw, any_block_size=any_block_size)
        size = header.used_size
        if size > len(raw):
            found = f"0x{len(raw):x} bytes"
            raise FormatError(NAME, "entries", HEADER_SIZE, found, f"0x{size:x} bytes")
        blocks = header.block_count
        if flash_size is not None:
            blocks = min(blocks, flash_size // header.block_size)
        entries = tuple(_entries(bytes(raw[:size]), blocks))
        return cls(header=header, entries=entries), size

    @classmethod
    def from_bytes(
        cls,
        raw: Buffer,
        *,
        flash_size: int | None = None,
        any_block_size: bool = False,
    ) -> FfsTable:
        """The same, and nothing may follow the last entry."""
        table, size = cls.from_prefix(
            raw, flash_size=flash_size, any_block_size=any_block_size
        )
        if rest := len(raw) - size:
            found = f"0x{rest:x} bytes left over"
            raise FormatError(NAME, "end", size, found, "no more bytes")
        return table

    def to_bytes(self) -> bytes:
        """Header and entries, with count and checksums that follow from the entries.

        Raises `FormatError` if the entries do not fit into the table's size.
        """
        header = replace(self.header, entry_count=len(self.entries))
        _check_counts(header, any_block_size=True)
        return header.to_bytes() + b"".join(each.to_bytes() for each in self.entries)

    def entry(self, name: str) -> FfsEntry:
        """The first entry of this name; `FormatError` if there is none."""
        for each in self.entries:
            if each.name == name:
                return each
        known = " ".join(each.name for each in self.entries)
        raise FormatError(NAME, "partition", HEADER_SIZE, known, name)

    def extent(self, name: str) -> tuple[int, int]:
        """Where the partition begins in the flash, and its raw size, in bytes."""
        entry = self.entry(name)
        block_size = self.header.block_size
        return entry.base * block_size, entry.size * block_size

    @property
    def partition_sizes(self) -> dict[str, int]:
        """Name to raw size in bytes, in the order of the entries."""
        sizes: dict[str, int] = {}
        for each in self.entries:
            sizes.setdefault(each.name, each.size * self.header.block_size)
        return sizes


def _check_fixed(header: FfsHeader) -> None:
    if header.magic != MAGIC:
        raise FormatError(NAME, "magic", 0, f"0x{header.magic:08x}", f"0x{MAGIC:08x}")
    if header.version != 1:
        raise FormatError(NAME, "version", 4, f"0x{header.version:x}", "0x1")
    if header.entry_size != ENTRY_SIZE:
        raise FormatError(NAME, "entry_size", 12, f"0x{header.entry_size:x}", "0x80")


def _check_counts(header: FfsHeader, any_block_size: bool) -> None:
    if not 0 < header.entry_count <= MAX_ENTRY_COUNT:
        limit = f"0x1 to 0x{MAX_ENTRY_COUNT:x}"
        raise FormatError(NAME, "entry_count", 16, f"0x{header.entry_count:x}", limit)
    if header.block_size != BLOCK_SIZE and not (any_block_size and header.block_size):
        raise FormatError(NAME, "block_size", 20, f"0x{header.block_size:x}", "0x1000")
    if header.block_count == 0:
        raise FormatError(NAME, "block_count", 24, "0x0", "at least 0x1")
    size = header.size * header.block_size
    if header.used_size > size:
        needed = f"0x{header.used_size:x} bytes"
        raise FormatError(NAME, "size", 8, f"0x{size:x} bytes", needed)


def _entries(raw: bytes, block_count: int) -> Iterator[FfsEntry]:
    for at in range(HEADER_SIZE, len(raw), ENTRY_SIZE):
        entry = FfsEntry.from_bytes(raw[at : at + ENTRY_SIZE], offset=at)
        if entry.base + entry.size > block_count:
            field = f"entry {entry.name!r} base"
            found = f"0x{entry.base:x} + 0x{entry.size:x} blocks"
            limit = f"to end by 0x{block_count:x}"
            raise FormatError(NAME, field, at + 16, found, limit)
        yield entry
