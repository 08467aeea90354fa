"""Verify what lies behind a hash page table, as hostboot ext does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from pefstack.firmware.pages import code_of
from pefstack.firmware.partitions import Partition
from pefstack.firmware.profile_row import ProfileTable
from pefstack.firmware.profiles import PROFILES
from pefstack.firmware.stage import Refusal
from pefstack.images import ecc
from pefstack.images.container import HEADER_SIZE
from pefstack.images.container_peek import (
    announced_payload_size,
    sw_signatures_of,
    unprotected_size,
)
from pefstack.images.errors import FormatError
from pefstack.images.ffs import FfsTable
from pefstack.images.hash_page_table import (
    ENTRY_SIZE,
    PageError,
    check_pages,
    hbi_salt,
    table_size,
)
from pefstack.images.rejection import LOG_GOOD
from pefstack.tools.verification.finding import Finding, refused
from pefstack.tools.verification.flash import place_of


def page_findings(
    flash: memoryview, table: FfsTable, name: str, profile: ProfileTable
) -> Iterator[Finding]:
    """Every page of a partition that is there, of HBI the salt too.

    Nothing where the profile reads no pages of it, or it is protected as a whole.
    """
    place = place_of(table, name)
    header = _header(flash, place)
    size = profile.paged_size(name, header) if header else 0
    if size:
        yield from _findings(flash, table, place, size, "hostboot_ext")


def shaped_findings(flash: memoryview, table: FfsTable) -> Iterator[Finding]:
    """The same where no profile is known: by the sizes of the table and of the rest."""
    known = {name for each in PROFILES.values() for name in each.paged}
    for name in (each for each in table.partition_sizes if each in known):
        place = place_of(table, name)
        header = _header(flash, place)
        size = min(unprotected_size(header), place.room) if header else 0
        if size and announced_payload_size(header) == table_size(size):
            yield from _findings(flash, table, place, size)


def content_of(flash: memoryview, place: Partition, profile: ProfileTable) -> bytes:
    """What a partition holds for a boot of this profile: its payload, or its pages."""
    header = _header(flash, place)
    if not header:
        return b""
    announced = announced_payload_size(header) or 0
    paged = profile.paged_size(place.name, header)
    start = HEADER_SIZE + announced if paged else HEADER_SIZE
    return _data(flash, place, start, paged or announced).data


def _findings(
    flash: memoryview, table: FfsTable, place: Partition, size: int, stage: str = ""
) -> Iterator[Finding]:
    start = Finding(
        place=code_of(place.name),
        offset=place.offset,
        stage=stage,
        rules="hash page table",
    )
    protected = announced_payload_size(_header(flash, place)) or 0
    entries = _data(flash, place, HEADER_SIZE, protected).data
    if place.name == "HBI" and "HBB" in table.partition_sizes:
        hbb = _header(flash, place_of(table, "HBB"))
        yield from _salt(start, entries, hbb)
    content = _data(flash, place, HEADER_SIZE + protected, size)
    yield _pages(start, place.name, entries, content)


def _header(flash: memoryview, place: Partition) -> bytes:
    """The 4096 bytes of a header; none where the partition is shorter."""
    header = _data(flash, place, 0, HEADER_SIZE).data
    return header if len(header) == HEADER_SIZE else b""


def _salt(start: Finding, entries: bytes, hbb: bytes) -> Iterator[Finding]:
    """Nothing where the table begins with what HBB's signatures give."""
    found = entries[:ENTRY_SIZE]
    wanted = hbi_salt(sw_signatures_of(hbb)) if hbb else b""
    if found != wanted:
        mend = "put HBB and HBI of the same build into the flash"
        texts = "salt", found.hex(), wanted.hex(), mend
        stage = start.stage and "hostboot_init"
        yield refused(replace(start, stage=stage), Refusal.HBI_SALT, *texts)


def _pages(start: Finding, name: str, entries: bytes, content: ecc.Decoded) -> Finding:
    if content.uncorrectable:
        found = f"{len(content.uncorrectable)} uncorrectable words"
        texts = "ECC", found, "none", "write the partition again"
        return refused(start, Refusal.ECC_UNCORRECTABLE, *texts)
    mend = f"write {name} again; a page is not the one that was signed"
    try:
        check_pages(entries, content.data)
    except PageError as wrong:
        check = f"page 0x{wrong.page_number:x}"
        texts = check, wrong.found, wrong.expected, mend
        return refused(start, Refusal.PAGE_HASH, *texts)
    except FormatError as wrong:
        texts = wrong.field, wrong.found, wrong.expected, mend
        return refused(start, Refusal.PAGE_HASH, *texts)
    return replace(start, good=True, log=LOG_GOOD)


def _data(flash: memoryview, place: Partition, start: int, size: int) -> ecc.Decoded:
    """Data of a partition from a multiple of 8 on, as far as there is any."""
    size = max(0, min(size, place.room - start))
    if not place.has_ecc:
        at = place.offset + start
        return ecc.Decoded(data=bytes(flash[at : at + size]))
    at = place.offset + ecc.raw_size(start)
    decoded = ecc.decode(flash[at : at + ecc.raw_size(-(-size // 8) * 8)])
    return replace(decoded, data=decoded.data[:size])
