"""Make a partition table from extents in bytes (boot-chain.md 2.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from pefstack.images.errors import FormatError
from pefstack.images.ffs import BLOCK_SIZE, HEADER_SIZE, FfsHeader, FfsTable
from pefstack.images.ffs_entry import (
    ENTRY_SIZE,
    FLAG_PROTECTED,
    INTEGRITY_ECC,
    NAME,
    TYPE_PARTITION,
    VERSION_SHA512,
    FfsEntry,
)

TABLE_NAME: Final = "part"


def partition(
    name: str,
    offset: int,
    size: int,
    *,
    ecc: bool = False,
    container: bool = False,
    misc: int = 0,
    block_size: int = BLOCK_SIZE,
) -> FfsEntry:
    """The entry of a data partition of ``size`` raw bytes at ``offset``.

    Raises `FormatError` unless both are multiples of the block size.
    """
    base, base_rest = divmod(offset, block_size)
    blocks, size_rest = divmod(size, block_size)
    if base_rest or size_rest or not blocks:
        found = f"0x{size:x} bytes at 0x{offset:x}"
        raise FormatError(NAME, name, 0, found, f"blocks of 0x{block_size:x} bytes")
    return FfsEntry(
        name=name,
        base=base,
        size=blocks,
        actual=size,
        data_integrity=INTEGRITY_ECC if ecc else 0,
        version_check=VERSION_SHA512 if container else 0,
        misc=misc,
    )


def build_table(
    flash_size: int,
    partitions: Sequence[FfsEntry],
    *,
    table_size: int = 0,
    block_size: int = BLOCK_SIZE,
) -> FfsTable:
    """The table of a flash: an entry for itself, then the partitions, numbered from 1.

    ``table_size`` in bytes grows to what the entries take, in whole blocks. Raises
    `FormatError` if a name stands twice, two extents overlap, or one does not fit.
    """
    used = HEADER_SIZE + (len(partitions) + 1) * ENTRY_SIZE
    blocks = -(-max(table_size, used) // block_size)
    itself = replace(
        partition(TABLE_NAME, 0, blocks * block_size, block_size=block_size),
        type=TYPE_PARTITION,
        flags=FLAG_PROTECTED,
    )
    entries = tuple(
        replace(entry, id=number)
        for number, entry in enumerate((itself, *partitions), start=1)
    )
    header = FfsHeader(
        size=blocks,
        entry_count=len(entries),
        block_size=block_size,
        block_count=flash_size // block_size,
    )
    _check_layout(entries, header.block_count)
    table = FfsTable(header=header, entries=entries)
    return FfsTable.from_bytes(table.to_bytes(), any_block_size=True)


def _check_layout(entries: Sequence[FfsEntry], block_count: int) -> None:
    names: set[str] = set()
    end = 0
    for entry in sorted(entries, key=lambda each: each.base):
        if entry.name in names:
            raise FormatError(NAME, entry.name, 0, "the name twice", "once")
        if entry.base < end or entry.base + entry.size > block_count:
            found = f"blocks 0x{entry.base:x} to 0x{entry.base + entry.size:x}"
            room = f"room from 0x{end:x} to 0x{block_count:x}"
            raise FormatError(NAME, entry.name, 0, found, room)
        names.add(entry.name)
        end = entry.base + entry.size
