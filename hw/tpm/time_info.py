"""TPMS_TIME_INFO and TPMS_CLOCK_INFO of a TPM as it is now (Part 2, 10.11)."""

from __future__ import annotations

from typing import Final

from pefstack.hw.tpm.clock_info import ClockInfo, TimeInfo
from pefstack.hw.tpm.state import Internals

_MAX_UINT32: Final = 0xFFFFFFFF


def clock_info(inner: Internals, hidden: tuple[int, int] = (0, 0)) -> ClockInfo:
    """Clock, resetCount, restartCount, safe; ``hidden`` is added to the two counts."""
    state, clock = inner.state, inner.clock_value()
    return ClockInfo(
        clock=clock,
        reset_count=state.reset_count + hidden[0] & _MAX_UINT32,
        restart_count=state.restart_count + hidden[1] & _MAX_UINT32,
        safe=clock >= state.safe_from,
    )


def time_info(inner: Internals) -> TimeInfo:
    """Time since power came on, and the clock info."""
    return TimeInfo(time=inner.time(), clock_info=clock_info(inner))
