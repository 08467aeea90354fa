"""The event log in memory: Hostboot begins it, later stages append in place."""

from __future__ import annotations

from typing import Final

from pefstack.firmware.memory_map import LOG_ADDRESS, LOG_SIZE
from pefstack.firmware.profiles import Extend, profile_of
from pefstack.firmware.stage import BootFailure, Refusal
from pefstack.hw.board import Board
from pefstack.images import event_log_build
from pefstack.images.errors import FormatError
from pefstack.images.event_log import LogRecord, end_offset

HOSTBOOT_LOG: Final = range(LOG_ADDRESS, LOG_ADDRESS + LOG_SIZE)


class LogWriter:
    """Appends records at the end of the log; knows where the end is.

    ``place`` is the buffer in memory; with ``cut`` the digests are written as
    `strlen_defect` says.
    """

    def __init__(
        self, board: Board, stage: str, place: range, end: int, *, cut: bool = False
    ) -> None:
        self._board = board
        self._stage = stage
        self._place = place
        self._end = end
        self._cut = cut

    @classmethod
    def begin(cls, board: Board, stage: str) -> LogWriter:
        """A new log in Hostboot's buffer: the header for this profile's banks."""
        banks = profile_of(board.spec.measure).table.banks
        header = event_log_build.header(banks).to_bytes()
        board.memory.write(LOG_ADDRESS, header.ljust(LOG_SIZE, b"\0"))
        return cls(board, stage, HOSTBOOT_LOG, len(header))

    @classmethod
    def resume(
        cls,
        board: Board,
        stage: str,
        place: range = HOSTBOOT_LOG,
        *,
        cut: bool = False,
    ) -> LogWriter:
        """The log that an earlier stage left in memory."""
        try:
            end = end_offset(read_log(board, place))
        except FormatError as broken:
            raise BootFailure(
                stage,
                Refusal.LOG_BROKEN,
                f"the event log in memory is none: {broken}",
                "find out who wrote over it between two stages",
            ) from broken
        return cls(board, stage, place, end, cut=cut)

    def append(self, extend: Extend, digests: dict[int, bytes]) -> None:
        """Write one record; a full log ends the boot."""
        if self._cut:
            digests = {bank: strlen_defect(each) for bank, each in digests.items()}
        record = LogRecord(
            pcr_index=extend.pcr,
            event_type=extend.event_type,
            digests=tuple(digests.items()),
            event=extend.text,
        ).to_bytes()
        room = len(self._place) - self._end
        if len(record) > room:
            raise BootFailure(
                self._stage,
                Refusal.LOG_FULL,
                f"the event log has 0x{room:x} of 0x{len(self._place):x} bytes left, "
                f"the next record needs 0x{len(record):x}",
                "measure fewer or shorter further values",
            )
        self._board.memory.write(self._place.start + self._end, record)
        self._end += len(record)


def read_log(board: Board, place: range = HOSTBOOT_LOG) -> bytes:
    """The whole log buffer."""
    return board.memory.read(place.start, len(place))


def strlen_defect(digest: bytes) -> bytes:
    """What current skiboot writes into a record: it copies up to the first zero byte.

    At least two bytes; the rest stays zero (boot-chain.md 4.1).
    """
    copied = max(2, len(digest.partition(b"\0")[0]))
    return digest[:copied].ljust(len(digest), b"\0")
