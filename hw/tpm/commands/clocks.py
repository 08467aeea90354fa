"""ReadClock (Part 3, "Clocks and Timers")."""

from __future__ import annotations

from typing import Final

from pefstack.hw.tpm.codes import TpmCc
from pefstack.hw.tpm.command import Command
from pefstack.hw.tpm.state import Internals
from pefstack.hw.tpm.structures import put_uint8, put_uint32, put_uint64


def read_clock(inner: Internals) -> tuple[int, int, int, int, int]:
    """TPMS_TIME_INFO: time, clock (both in ms), resetCount, restartCount, safe."""
    state, clock = inner.state, inner.clock_value()
    safe = int(clock >= state.safe_from)
    return inner.time(), clock, state.reset_count, state.restart_count, safe


READ_CLOCK: Final = Command(
    code=TpmCc.READ_CLOCK,
    action=read_clock,
    results=(put_uint64, put_uint64, put_uint32, put_uint32, put_uint8),
    allows_sessions=False,
)
