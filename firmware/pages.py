"""What lies behind a hash page table, verified page by page on access (1.7)."""

from __future__ import annotations

from pefstack.firmware.load import Loaded
from pefstack.firmware.memory_map import HBB_ADDRESS, HBI_ADDRESS
from pefstack.firmware.partitions import Partition, partition, read_data
from pefstack.firmware.profiles import profile_of
from pefstack.firmware.stage import BootFailure, Refusal
from pefstack.firmware.verification import enforces, record
from pefstack.hw.board import Board
from pefstack.images.codec import Buffer
from pefstack.images.container import HEADER_SIZE
from pefstack.images.container_peek import announced_payload_size, sw_signatures_of
from pefstack.images.errors import FormatError
from pefstack.images.hash_page_table import (
    ENTRY_SIZE,
    PageError,
    check_pages,
    hbi_salt,
)
from pefstack.images.rejection import LOG_GOOD


def code_of(name: str) -> str:
    """Under which name the pages of a partition are verified."""
    return f"{name} pages"


def check_salt(board: Board, stage: str) -> None:
    """The table's first entry ties HBI to the signatures of this HBB (1.3)."""
    header = board.memory.read(HBI_ADDRESS - HEADER_SIZE, HEADER_SIZE)
    size = _paged_size(board, "HBI", header)
    if not size or not enforces(board, stage, code_of("HBI")):
        return
    found = board.memory.read(HBI_ADDRESS, ENTRY_SIZE)
    hbb = board.memory.read(HBB_ADDRESS - HEADER_SIZE, HEADER_SIZE)
    wanted = hbi_salt(sw_signatures_of(hbb))
    if found != wanted:
        raise BootFailure(
            stage,
            Refusal.HBI_SALT,
            f"HBI: salt: found {found.hex()}, expected {wanted.hex()}",
            "put HBB and HBI of the same build into the flash",
        )


def page_in_hbi(board: Board, stage: str) -> None:
    """Touch every page of HBI: read it from the flash, verify it, put it into memory.

    Header and table are those that were verified into memory. Nothing is done for an
    HBI that is protected as a whole.
    """
    header = board.memory.read(HBI_ADDRESS - HEADER_SIZE, HEADER_SIZE)
    if not _paged_size(board, "HBI", header):
        return
    place = partition(board, stage, "HBI")
    # what was loaded was no longer than the partition
    protected = min(announced_payload_size(header) or 0, place.room)
    table = board.memory.read(HBI_ADDRESS, protected)
    data = read_pages(board, stage, place, header, table)
    board.memory.write(HBI_ADDRESS + protected, data)


def content_of(board: Board, stage: str, loaded: Loaded) -> memoryview:
    """What a partition that was loaded holds: its payload as far as that is announced.

    Where the payload is a hash page table, every page behind it is read and verified,
    and the pages are the content.
    """
    header = loaded.container[:HEADER_SIZE]
    payload = loaded.container[HEADER_SIZE:]
    if _paged_size(board, loaded.place.name, header):
        return read_pages(board, stage, loaded.place, header, payload)
    return payload[: announced_payload_size(header) or 0]


def read_pages(
    board: Board, stage: str, place: Partition, header: Buffer, table: Buffer
) -> memoryview:
    """The data behind a table, each page compared with its entry.

    With security off, or where the policy says so, a wrong page is recorded and used.
    """
    code = code_of(place.name)
    size = _paged_size(board, place.name, header)
    start = HEADER_SIZE + (announced_payload_size(header) or 0)
    data = read_data(board, stage, place, start, size)
    try:
        check_pages(table, data)
    except (PageError, FormatError) as wrong:
        reason = f"{place.name}: {wrong}"
        record(board, stage, code, 0, reason)
        if enforces(board, stage, code):
            mend = f"write {place.name} again; a page is not the one that was signed"
            raise BootFailure(stage, Refusal.PAGE_HASH, reason, mend) from wrong
    else:
        record(board, stage, code, LOG_GOOD, "good")
    return data


def _paged_size(board: Board, name: str, header: Buffer) -> int:
    return profile_of(board.spec.measure).table.paged_size(name, header)
