"""ReadClock (Part 3, "Clocks and Timers")."""

from __future__ import annotations

from typing import Final

from pefstack.hw.tpm.codes import TpmCc
from pefstack.hw.tpm.command import Command
from pefstack.hw.tpm.state import Internals
from pefstack.hw.tpm.structures import put_raw
from pefstack.hw.tpm.time_info import time_info


def read_clock(inner: Internals) -> tuple[bytes]:
    """TPMS_TIME_INFO: time, clock (both in ms), resetCount, restartCount, safe."""
    return (time_info(inner),)


READ_CLOCK: Final = Command(
    code=TpmCc.READ_CLOCK,
    action=read_clock,
    results=(put_raw,),
    allows_sessions=False,
)
