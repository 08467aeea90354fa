"""The event log in memory: Hostboot begins it, later stages append in place."""

from __future__ import annotations

from pefstack.firmware.memory_map import LOG_ADDRESS, LOG_SIZE
from pefstack.firmware.profiles import Extend, profile_of
from pefstack.firmware.stage import BootFailure, Refusal
from pefstack.hw.board import Board
from pefstack.images import event_log_build
from pefstack.images.errors import FormatError
from pefstack.images.event_log import LogRecord, end_offset


class LogWriter:
    """Appends records at the end of the log; knows where the end is."""

    def __init__(self, board: Board, stage: str, end: int) -> None:
        self._board = board
        self._stage = stage
        self._end = end

    @classmethod
    def begin(cls, board: Board, stage: str) -> LogWriter:
        """A new log: the header for this profile's banks, and nothing else."""
        banks = profile_of(board.spec.measure).table.banks
        header = event_log_build.header(banks).to_bytes()
        board.memory.write(LOG_ADDRESS, header.ljust(LOG_SIZE, b"\0"))
        return cls(board, stage, len(header))

    @classmethod
    def resume(cls, board: Board, stage: str) -> LogWriter:
        """The log that an earlier stage left in memory."""
        try:
            end = end_offset(read_log(board))
        except FormatError as broken:
            raise BootFailure(
                stage,
                Refusal.LOG_BROKEN,
                f"the event log in memory is none: {broken}",
                "find out who wrote over it between two stages",
            ) from broken
        return cls(board, stage, end)

    def append(self, extend: Extend, digests: dict[int, bytes]) -> None:
        """Write one record; a full log ends the boot."""
        record = LogRecord(
            pcr_index=extend.pcr,
            event_type=extend.event_type,
            digests=tuple(digests.items()),
            event=extend.text,
        ).to_bytes()
        if self._end + len(record) > LOG_SIZE:
            raise BootFailure(
                self._stage,
                Refusal.LOG_FULL,
                f"the event log has 0x{LOG_SIZE - self._end:x} bytes left, the next "
                f"record needs 0x{len(record):x}",
                "measure fewer or shorter further values",
            )
        self._board.memory.write(LOG_ADDRESS + self._end, record)
        self._end += len(record)


def read_log(board: Board) -> bytes:
    """The whole log buffer, 64 KiB."""
    return board.memory.read(LOG_ADDRESS, LOG_SIZE)
