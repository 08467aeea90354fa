"""An initramfs: the files of its first archive, the ESM blob, what is hashed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Final

from pefstack.images.codec import Buffer
from pefstack.images.compressed import compression_of
from pefstack.images.cpio import TRAILER, PlacedEntry, entries_of
from pefstack.images.errors import FormatError
from pefstack.images.initramfs import (
    BLOB_MAGIC,
    OPERAND_MAGIC,
    BlobPlace,
    NameRule,
    find_blob,
)
from pefstack.tools.inspection.region import Region, rest, uniform

BLOB_WORDS: Final = {
    BLOB_MAGIC: "ESM blob, version 1 (device tree)",
    OPERAND_MAGIC: "ESM operand, version 2",
}


def cpio_regions(raw: Buffer) -> Iterator[Region]:
    """Every file by its place, then the rest; `FormatError` if the archive is broken.

    The blob is searched as the ultravisor does, with the lenient rule for its name.
    """
    place, reason = _blob_of(raw)
    end = 0
    for placed in entries_of(raw):
        yield from _file(placed, place)
        end = placed.end
    if place is None:
        yield Region(offset=end, size=0, name="no ESM blob", value=reason)
    hashed_from = max(end, place.archive_size) if place else end
    yield from rest(raw, end, hashed_from, "padding")
    yield from _rest(memoryview(raw)[hashed_from:], hashed_from, place)


def _blob_of(raw: Buffer) -> tuple[BlobPlace | None, str]:
    try:
        return find_blob(raw, rule=NameRule.REAL), ""
    except FormatError as none:
        return None, str(none)


def _file(placed: PlacedEntry, place: BlobPlace | None) -> Iterator[Region]:
    entry, start, end = placed.entry, placed.data_offset, placed.end
    trailer = entry.name == TRAILER
    name = "trailer" if trailer else "header"
    mode = "" if trailer else f", mode 0{entry.mode:o}"
    value = f"{entry.name}{mode}, 0x{len(entry.data):x} bytes"
    yield Region(
        offset=placed.offset, size=start - placed.offset, name=name, value=value
    )
    blob_at = place.offset if place and start <= place.offset < end else end
    if start < blob_at:
        yield Region(offset=start, size=blob_at - start, name="data")
    if place and blob_at < end:
        value = BLOB_WORDS[place.magic]
        if not place.archive_size:
            value += "; the archive has no trailer, all of it would be hashed"
        yield Region(offset=blob_at, size=end - blob_at, name="ESM blob", value=value)


def _rest(view: memoryview, at: int, place: BlobPlace | None) -> Iterator[Region]:
    """What follows the archive: with a blob in front, the initramfs that is hashed."""
    if not len(view):
        return
    kind = compression_of(view)
    words = kind.name if kind else uniform(bytes(view))
    if place and place.archive_size:
        words += f"; SHA-512 {hashlib.sha512(view).hexdigest()}"
    yield Region(offset=at, size=len(view), name="initramfs", value=words)
