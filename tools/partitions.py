"""The flash of a machine by partition name, for looking and for breaking."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pefstack.hw.board import Board
from pefstack.images import ecc
from pefstack.images.container import HEADER_SIZE, ContainerHeader
from pefstack.images.ffs import FfsTable
from pefstack.images.ffs_find import find_table
from pefstack.tools.errors import UsageError


@dataclass(frozen=True, slots=True)
class FlashPartition:
    """One partition of a machine's flash, as it is now.

    ``offset`` and ``size`` are raw, in bytes of the flash.
    """

    name: str
    offset: int
    size: int
    has_ecc: bool
    _board: Board

    @property
    def raw(self) -> bytes:
        """The bytes in the flash, ECC included."""
        return bytes(self._board.flash.read(self.offset, self.size))

    @property
    def data(self) -> bytes:
        """The bytes behind the ECC, single-bit errors corrected."""
        raw = self.raw
        return ecc.decode(raw[: len(raw) // 9 * 9]).data if self.has_ecc else raw

    @property
    def header(self) -> ContainerHeader:
        """The container header at its start; `FormatError` if there is none."""
        return ContainerHeader.from_prefix(self.data[:HEADER_SIZE])

    def write(self, data: bytes, offset: int = 0) -> None:
        """Write data at an offset of the data, with the ECC that belongs to it."""
        whole = self.data
        if not 0 <= offset <= offset + len(data) <= len(whole):
            raise UsageError(f"{self.name}: no 0x{len(data):x} bytes at 0x{offset:x}")
        changed = whole[:offset] + data + whole[offset + len(data) :]
        raw = ecc.encode(changed) if self.has_ecc else changed
        self._board.flash.write(self.offset, raw)

    def flip(self, offset: int, bit: int = 0) -> None:
        """Turn one bit over at a raw offset of the partition; the ECC sees it."""
        if not 0 <= offset < self.size or not 0 <= bit <= 7:
            raise UsageError(f"{self.name}: no bit {bit} at raw offset 0x{offset:x}")
        old = self._board.flash.read(self.offset + offset, 1)[0]
        self._board.flash.write(self.offset + offset, bytes([old ^ 1 << bit]))


class Partitions(Mapping[str, FlashPartition]):
    """Partition by name; the table is read from the flash at every look."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def __getitem__(self, name: str) -> FlashPartition:
        table = self._table()
        for entry in table.entries:
            if entry.name == name:
                place = table.extent(name)
                return FlashPartition(name, *place, entry.has_ecc, self._board)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return (entry.name for entry in self._table().entries)

    def __len__(self) -> int:
        return len(self._table().entries)

    def _table(self) -> FfsTable:
        flash = self._board.flash
        return find_table(flash.read, flash.size)[1]
