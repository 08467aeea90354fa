"""TPMS_TIME_INFO and TPMS_CLOCK_INFO of a TPM as it is now (Part 2, 10.11)."""

from __future__ import annotations

from struct import Struct
from typing import Final

from pefstack.hw.tpm.state import Internals

_CLOCK_INFO: Final = Struct(">QIIB")
_TIME: Final = Struct(">Q")


def clock_info(inner: Internals) -> bytes:
    """TPMS_CLOCK_INFO: clock in ms, resetCount, restartCount, safe."""
    state, clock = inner.state, inner.clock_value()
    safe = clock >= state.safe_from
    return _CLOCK_INFO.pack(clock, state.reset_count, state.restart_count, safe)


def time_info(inner: Internals) -> bytes:
    """TPMS_TIME_INFO: time in ms since power came on, and the clock info."""
    return _TIME.pack(inner.time()) + clock_info(inner)
