"""TPMS_CLOCK_INFO and TPMS_TIME_INFO: the TPM's idea of time (Part 2, 10.11)."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final

from pefstack.hw.tpm.structures import (
    TPMI_YES_NO,
    UINT32,
    UINT64,
    Reader,
    put_uint64,
)

_CLOCK: Final = Struct(">QIIB")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockInfo:
    """TPMS_CLOCK_INFO; ``clock`` in milliseconds."""

    clock: int
    reset_count: int
    restart_count: int
    safe: bool

    def to_bytes(self) -> bytes:
        """The structure."""
        return _CLOCK.pack(self.clock, self.reset_count, self.restart_count, self.safe)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeInfo:
    """TPMS_TIME_INFO; ``time`` in milliseconds since there is power."""

    time: int
    clock_info: ClockInfo

    def to_bytes(self) -> bytes:
        """The structure."""
        return put_uint64(self.time) + self.clock_info.to_bytes()


def clock_info(reader: Reader) -> ClockInfo:
    """TPMS_CLOCK_INFO."""
    return ClockInfo(
        clock=UINT64(reader),
        reset_count=UINT32(reader),
        restart_count=UINT32(reader),
        safe=bool(TPMI_YES_NO(reader)),
    )


def time_info(reader: Reader) -> TimeInfo:
    """TPMS_TIME_INFO."""
    return TimeInfo(time=UINT64(reader), clock_info=clock_info(reader))


TPMS_CLOCK_INFO: Final = clock_info
TPMS_TIME_INFO: Final = time_info
