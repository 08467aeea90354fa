"""HBI's pages: what lies behind its hash page table, verified on access (1.7)."""

from __future__ import annotations

from typing import Final

from pefstack.firmware.memory_map import HBB_ADDRESS, HBI_ADDRESS
from pefstack.firmware.partitions import partition, read_data
from pefstack.firmware.profiles import profile_of
from pefstack.firmware.stage import BootFailure, Refusal
from pefstack.firmware.verification import enforces, record
from pefstack.hw.board import Board
from pefstack.images.container import HEADER_SIZE
from pefstack.images.container_peek import (
    announced_payload_size,
    sw_signatures_of,
    unprotected_size,
)
from pefstack.images.errors import FormatError
from pefstack.images.hash_page_table import (
    ENTRY_SIZE,
    PageError,
    check_page,
    hbi_salt,
    page_at,
    page_count,
)
from pefstack.images.rejection import LOG_GOOD

CODE: Final = "HBI pages"


def check_salt(board: Board, stage: str) -> None:
    """The table's first entry ties HBI to the signatures of this HBB (1.3)."""
    if not _paged_size(board) or not enforces(board, stage, CODE):
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


def page_in(board: Board, stage: str) -> None:
    """Touch every page of HBI: read it from the flash, verify it, put it into memory.

    Nothing is done for an HBI that is protected as a whole. With security off, or where
    the policy says so, a wrong page is recorded and used.
    """
    size = _paged_size(board)
    if not size:
        return
    place = partition(board, stage, "HBI")
    protected = announced_payload_size(_header(board)) or 0
    data = read_data(board, stage, place, HEADER_SIZE + protected, size)
    protected = min(protected, place.room)  # what was loaded was no longer
    try:
        _check(board.memory.read(HBI_ADDRESS, protected), data)
    except (PageError, FormatError) as wrong:
        record(board, stage, CODE, 0, str(wrong))
        if enforces(board, stage, CODE):
            mend = "write HBI again; a page is not the one that was signed"
            raise BootFailure(stage, Refusal.PAGE_HASH, str(wrong), mend) from wrong
    else:
        record(board, stage, CODE, LOG_GOOD, "good")
    board.memory.write(HBI_ADDRESS + protected, data)


def _header(board: Board) -> bytes:
    return board.memory.read(HBI_ADDRESS - HEADER_SIZE, HEADER_SIZE)


def _paged_size(board: Board) -> int:
    """Bytes behind HBI's payload; none in a profile that protects HBI as a whole."""
    if not profile_of(board.spec.measure).table.hbi_has_pages:
        return 0
    return unprotected_size(_header(board))


def _check(table: bytes, data: memoryview) -> None:
    for number in range(page_count(len(data))):
        check_page(table, number, page_at(data, number))
