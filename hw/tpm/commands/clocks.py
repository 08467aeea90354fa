"""ReadClock, ClockSet, ClockRateAdjust (Part 3, "Clocks and Timers")."""

from __future__ import annotations

from typing import Final

from pefstack.hw.tpm.clock_info import TimeInfo
from pefstack.hw.tpm.codes import TpmCc
from pefstack.hw.tpm.command import Command, Handle, Parameter
from pefstack.hw.tpm.handles import TPMI_RH_PROVISION
from pefstack.hw.tpm.hierarchies import Hierarchy
from pefstack.hw.tpm.interface_types import TPM_CLOCK_ADJUST
from pefstack.hw.tpm.response_codes import RC_1, RC_P, Refusal, TpmRc
from pefstack.hw.tpm.state import Internals
from pefstack.hw.tpm.structures import UINT64, put_structure
from pefstack.hw.tpm.time_info import time_info

MAX_CLOCK: Final = 0xFFFF_0000_0000_0000  # of ClockSet: it leaves 8900 years


def read_clock(inner: Internals) -> tuple[TimeInfo]:
    """TPMS_TIME_INFO: time, clock (both in ms), resetCount, restartCount, safe."""
    return (time_info(inner),)


def clock_set(inner: Internals, auth: Hierarchy, new_time: int) -> tuple[()]:
    """Advance Clock, which never goes back; Time stays."""
    now = inner.clock_value()
    if not now <= new_time <= MAX_CLOCK:
        raise Refusal(TpmRc.VALUE + RC_P + RC_1)
    inner.state.clock_at_power_on += new_time - now
    inner.state.dictionary_attack.shift(new_time - now)
    inner.state.note_change()
    inner.journal.add("tpm", "clock-set", clock=new_time)
    return ()


def clock_rate_adjust(inner: Internals, auth: Hierarchy, rate_adjust: int) -> tuple[()]:
    """Nothing to adjust: the clock of an emulated machine is exact.

    Project decision: the command is accepted, as every TPM must, and the rate stays;
    no client can measure it, for emulated time passes only as the machine works.
    """
    return ()


READ_CLOCK: Final = Command(
    code=TpmCc.READ_CLOCK,
    action=read_clock,
    results=(put_structure,),
)
CLOCK_SET: Final = Command(
    code=TpmCc.CLOCK_SET,
    action=clock_set,
    handles=(Handle(name="auth", type=TPMI_RH_PROVISION),),
    parameters=(Parameter(name="newTime", unmarshal=UINT64),),
    writes_nv=True,
)
CLOCK_RATE_ADJUST: Final = Command(
    code=TpmCc.CLOCK_RATE_ADJUST,
    action=clock_rate_adjust,
    handles=(Handle(name="auth", type=TPMI_RH_PROVISION),),
    parameters=(Parameter(name="rateAdjust", unmarshal=TPM_CLOCK_ADJUST),),
)
COMMANDS: Final = (READ_CLOCK, CLOCK_SET, CLOCK_RATE_ADJUST)
