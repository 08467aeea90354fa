"""Find a partition of the flash and read a container from it, through its ECC."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from pefstack.firmware.stage import BootFailure, Refusal
from pefstack.hw.board import Board
from pefstack.images.container import HEADER_SIZE
from pefstack.images.container_peek import (
    announced_payload_size,
    begins_like_container,
)
from pefstack.images.ecc import WORD_SIZE, data_size, raw_size
from pefstack.images.errors import FormatError
from pefstack.images.ffs import FfsTable
from pefstack.images.ffs_find import find_table

MAX_PARTITION_SIZE: Final = 256 << 20


class Partition(NamedTuple):
    """Where a partition lies: raw offset and size in the flash, in bytes."""

    name: str
    offset: int
    size: int
    has_ecc: bool

    @property
    def room(self) -> int:
        """How many data bytes it holds."""
        size = data_size(self.size // 9 * 9) if self.has_ecc else self.size
        return min(size, MAX_PARTITION_SIZE)


def partition(board: Board, stage: str, name: str) -> Partition:
    """The partition by the table of the flash as it is now."""
    table = _table(board, stage)
    for entry in table.entries:
        if entry.name == name:
            return Partition(name, *table.extent(name), entry.has_ecc)
    there = ", ".join(each.name for each in table.entries)
    raise BootFailure(
        stage,
        Refusal.PARTITION_MISSING,
        f"found no partition {name} among {there}",
        f"add {name} to the flash image",
    )


def read_data(
    board: Board, stage: str, place: Partition, start: int, size: int
) -> memoryview:
    """Data of a partition from an offset that is a multiple of 8, as far as there is.

    A word that ECC cannot correct ends the boot.
    """
    size = max(0, min(size, place.room - start))
    if not place.has_ecc:
        return memoryview(board.flash.read(place.offset + start, size))
    inner = place._replace(offset=place.offset + raw_size(start))
    return _read(board, stage, inner, size)


def present(board: Board, stage: str, names: Sequence[str]) -> list[str]:
    """Those of the partitions that the flash has, in the order of the names."""
    there = {entry.name for entry in _table(board, stage).entries}
    return [name for name in names if name in there]


def holds_container(board: Board, stage: str, name: str) -> bool:
    """Whether a partition that is there begins like a container; one may be blank."""
    place = partition(board, stage, name)
    return begins_like_container(_peek(board, place, WORD_SIZE))


def read_container(board: Board, stage: str, place: Partition) -> memoryview:
    """The container in a partition: its header, and the payload that it announces.

    Never more than the partition holds. A word that ECC cannot correct ends the boot.
    """
    room = place.room
    if room < HEADER_SIZE:
        raise BootFailure(
            stage,
            Refusal.PARTITION_SIZE,
            f"{place.name}: found 0x{room:x} bytes, expected at least 0x1000",
            "make the partition larger",
        )
    announced = announced_payload_size(_peek(board, place, HEADER_SIZE))
    size = room if announced is None else min(room, HEADER_SIZE + announced)
    return _read(board, stage, place, size)


def _table(board: Board, stage: str) -> FfsTable:
    try:
        return find_table(board.flash.read, board.flash.size)[1]
    except FormatError as broken:
        mend = "write a partition table; `pef inspect` shows what is there"
        refusal = Refusal.PARTITION_TABLE
        raise BootFailure(stage, refusal, str(broken), mend) from broken


def _peek(board: Board, place: Partition, size: int) -> bytes | memoryview:
    if place.has_ecc:
        return board.flash.peek_ecc(place.offset, raw_size(size)).data
    return board.flash.read(place.offset, size)


def _read(board: Board, stage: str, place: Partition, size: int) -> memoryview:
    if not place.has_ecc:
        return memoryview(board.flash.read(place.offset, size))
    words = -(-size // 8) * 8
    found = board.flash.read_ecc(place.offset, raw_size(words))
    if found.uncorrectable:
        raise BootFailure(
            stage,
            Refusal.ECC_UNCORRECTABLE,
            f"{place.name}: found {len(found.uncorrectable)} uncorrectable words, the "
            f"first at flash offset 0x{found.uncorrectable[0]:x}",
            "write the partition again",
        )
    return memoryview(found.data)[:size]
