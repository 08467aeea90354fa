"""A flash image: partition tables, partitions, ECC, what their containers say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pefstack.images import ecc
from pefstack.images import ffs_entry as entries
from pefstack.images.codec import Buffer
from pefstack.images.container import MAGIC
from pefstack.images.errors import FormatError
from pefstack.images.ffs import FfsTable
from pefstack.images.ffs_entry import TYPE_PARTITION, FfsEntry
from pefstack.images.ffs_find import find_table
from pefstack.tools.inspection.container import summary
from pefstack.tools.inspection.region import Region, rest, uniform

MISC_WORDS: Final = {
    entries.MISC_PRESERVED: "preserved",
    entries.MISC_READ_ONLY: "read-only",
    entries.MISC_BACKUP: "backup",
    entries.MISC_REPROVISION: "reprovision",
    entries.MISC_VOLATILE: "volatile",
    entries.MISC_CLEAR_ECC: "clear on ECC error",
    entries.MISC_GOLDEN: "golden",
}


def flash_regions(raw: Buffer) -> Iterator[Region]:
    """Partitions by their places, and the second table where there is one.

    Raises `FormatError` if the table at the start is broken, or the file too short.
    """
    view = memoryview(raw)
    table, _ = FfsTable.from_prefix(view, flash_size=len(view), any_block_size=True)
    found = [_placed(table, entry, view) for entry in table.entries]
    found += _second_table(view)
    end = 0
    for region in sorted(found, key=lambda each: each.offset):
        yield from rest(view, end, region.offset)
        yield region
        end = max(end, region.offset + region.size)
    yield from rest(view, end, len(view))


def _placed(table: FfsTable, entry: FfsEntry, view: memoryview) -> Region:
    offset, size = table.extent(entry.name)
    words = _flags(entry)
    if entry.type == TYPE_PARTITION:
        words.insert(0, "partition table")
    else:
        words += _state(view[offset : offset + size], entry)
    return Region(offset=offset, size=size, name=entry.name, value="; ".join(words))


def _second_table(view: memoryview) -> list[Region]:
    try:
        at, table = find_table(
            lambda start, size: view[start : start + size], len(view)
        )
    except FormatError:
        return []
    size = table.header.size * table.header.block_size
    region = Region(offset=at, size=size, name="second partition table")
    return [region] if at else []


def _flags(entry: FfsEntry) -> list[str]:
    words = [word for bit, word in MISC_WORDS.items() if entry.misc & bit]
    return [", ".join(words)] if words else []


def _state(raw: memoryview, entry: FfsEntry) -> list[str]:
    """What lies in a partition: ECC first, then the container or how empty it is."""
    if not entry.has_ecc:
        return [_content(raw)]
    decoded = ecc.decode(raw[: len(raw) // 9 * 9])
    counts = f"{len(decoded.corrected)} corrected"
    counts += f", {len(decoded.uncorrectable)} uncorrectable words"
    touched = decoded.corrected or decoded.uncorrectable
    state = f"ECC {counts}" if touched else "ECC good"
    return [state, _content(memoryview(decoded.data))]


def _content(data: memoryview) -> str:
    if int.from_bytes(data[:4], "big") == MAGIC:
        try:
            return summary(data)
        except FormatError as broken:
            return f"broken container: {broken}"
    return uniform(bytes(data))
