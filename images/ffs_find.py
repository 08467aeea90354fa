"""Find the partition table in a flash, as HBBL does (boot-chain.md 2.4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pefstack.images.codec import Buffer
from pefstack.images.errors import FormatError
from pefstack.images.ffs import HEADER_SIZE, MAGIC, MAX_ENTRY_COUNT, FfsTable
from pefstack.images.ffs_entry import ENTRY_SIZE, NAME

Read = Callable[[int, int], Buffer]  # offset and size, in bytes of the flash

SEARCH_DISTANCE: Final = 0x9000  # from the end of the flash to the first probe
PAGE_SIZE: Final = 0x1000
_MAGIC: Final = MAGIC.to_bytes(4, "big")
_COUNT_OFFSET: Final = 16  # entry_count in the header

MAX_BAD_TABLES: Final = 64  # pages that begin like a table and are none


def find_table(read: Read, flash_size: int) -> tuple[int, FfsTable]:
    """The offset and the value of the first valid table, from the end downwards.

    Begins 0x9000 bytes before the end and steps back by pages of 4 KiB to the start of
    the flash. A probe reads four bytes, and more only behind the magic. Raises
    `FormatError` if no page has a valid table, or after 64 that only begin like one; it
    tells about the first.
    """
    first = (flash_size - SEARCH_DISTANCE) // PAGE_SIZE * PAGE_SIZE
    problem = ""
    bad = 0
    for at in range(first, -1, -PAGE_SIZE):
        if bytes(read(at, len(_MAGIC))) != _MAGIC:
            continue
        try:
            table = _table(read, at, flash_size)
        except FormatError as exc:
            problem = problem or f"a table at 0x{at:x} that is bad ({exc})"
            bad += 1
            if bad == MAX_BAD_TABLES:
                break
        else:
            return at, table
    found = problem or f"no table in 0x{flash_size:x} bytes"
    raise FormatError(NAME, "search", max(first, 0), found, "a valid table on a page")


def _table(read: Read, at: int, flash_size: int) -> FfsTable:
    """The table with one look at its header: the count alone says how much to read."""
    count = int.from_bytes(read(at, HEADER_SIZE)[_COUNT_OFFSET:][:4], "big")
    size = HEADER_SIZE + min(count, MAX_ENTRY_COUNT) * ENTRY_SIZE
    raw = read(at, min(size, flash_size - at))
    return FfsTable.from_prefix(raw, flash_size=flash_size)[0]
