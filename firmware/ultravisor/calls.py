"""The table of ultra-calls: who may make them, and who answers (esm.md 3.1).

UV_ESM is not in it: it goes on for many steps (`esm_call`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from pefstack.firmware.ultravisor import memory_slots, paging, registers, sharing
from pefstack.firmware.ultravisor.codes import UvCall, UvStatus
from pefstack.firmware.ultravisor.files import get_file
from pefstack.firmware.ultravisor.release import terminate
from pefstack.firmware.ultravisor.svm import Svm, SvmState
from pefstack.hw.chip import MSR_HV, MSR_S
from pefstack.hw.cpu import MSR_PR, WORD_MASK

if TYPE_CHECKING:
    from pefstack.firmware.ultravisor.ultravisor import Ultravisor

MSR_TS: Final = 0x6_0000_0000  # transaction state: suspended, transactional
_FIRST: Final = 4  # arguments are in r4 and on
Answer = tuple[int, ...]


class Who(Enum):
    """The classes of callers, checked before anything else."""

    HYPERVISOR = "HV"
    SVM = "SVM"
    SVM_ANY = "SVM, any privilege"


@dataclass(frozen=True, slots=True)
class Caller:
    """Machine state, logical partition and process of who executes `sc 2`."""

    msr: int
    lpid: int
    pid: int = 0


@dataclass(frozen=True, slots=True)
class UltraCall:
    """``arguments`` registers from r4 on are handed to ``run``, which gives r3 and on.

    Of an SVM's call the first argument is its own logical partition instead.
    """

    who: Who
    arguments: int
    run: Callable[..., Answer]


def _not_modelled(_: Ultravisor, *__: int) -> Answer:
    return (UvStatus.FUNCTION,)


# a hypervisor has MSR_HV of these alone
_MODES: Final = MSR_HV | MSR_PR | MSR_TS
_HV, _SVM = Who.HYPERVISOR, Who.SVM
NOT_MODELLED: Final = (
    UvCall.RETURN,
    UvCall.UNSHARE_PAGE,
    UvCall.UNSHARE_ALL_PAGES,
    UvCall.READ_MEM,
    UvCall.WRITE_MEM,
    UvCall.SEND_SBE_COMMAND,
)
CALLS: Final[dict[UvCall, UltraCall]] = {
    UvCall.WRITE_PATE: UltraCall(_HV, 3, registers.write_pate),
    UvCall.RESTRICTED_SPR_WRITE: UltraCall(_HV, 2, registers.write_spr),
    UvCall.RESTRICTED_SPR_READ: UltraCall(_HV, 1, registers.read_spr),
    UvCall.READ_SCOM: UltraCall(_HV, 2, registers.read_scom),
    UvCall.WRITE_SCOM: UltraCall(_HV, 3, registers.write_scom),
    UvCall.RETURN: UltraCall(_HV, 0, _not_modelled),
    UvCall.REGISTER_MEM_SLOT: UltraCall(_HV, 5, memory_slots.register),
    UvCall.UNREGISTER_MEM_SLOT: UltraCall(_HV, 2, memory_slots.unregister),
    UvCall.PAGE_IN: UltraCall(_HV, 5, paging.page_in),
    UvCall.PAGE_OUT: UltraCall(_HV, 5, paging.page_out),
    UvCall.SHARE_PAGE: UltraCall(_SVM, 2, sharing.share_page),
    UvCall.UNSHARE_PAGE: UltraCall(_SVM, 2, _not_modelled),
    UvCall.PAGE_INVAL: UltraCall(_HV, 3, paging.page_invalidate),
    UvCall.SVM_TERMINATE: UltraCall(_HV, 1, terminate),
    UvCall.UNSHARE_ALL_PAGES: UltraCall(_SVM, 0, _not_modelled),
    UvCall.READ_MEM: UltraCall(_HV, 4, _not_modelled),
    UvCall.WRITE_MEM: UltraCall(_HV, 4, _not_modelled),
    UvCall.ESMB_GET_FILE: UltraCall(Who.SVM_ANY, 0, _not_modelled),
    UvCall.SEND_SBE_COMMAND: UltraCall(_HV, 4, _not_modelled),
}

_BY_NUMBER: Final = {int(number): call for number, call in CALLS.items()}


def answer(uv: Ultravisor, caller: Caller, gpr: Sequence[int]) -> Answer:
    """r3 (signed), then r4 and on, of any ultra-call but UV_ESM of a guest."""
    number = gpr[3] & WORD_MASK
    call = _BY_NUMBER.get(number)
    if call is None:  # a guest's UV_ESM does not come here
        known = number == UvCall.ESM
        return (UvStatus.PERMISSION if known else UvStatus.FUNCTION,)
    who = call.who
    if who is not _HV or caller.msr & _MODES != MSR_HV:
        refusal = _caller_refusal(uv, caller, who)
        if refusal is not None:
            return (refusal,)
    words = [word & WORD_MASK for word in gpr[_FIRST : _FIRST + call.arguments]]
    if len(words) < call.arguments:
        words += [0] * (call.arguments - len(words))
    if who is _HV:
        return call.run(uv, *words)
    if who is _SVM:
        return call.run(uv, caller.lpid, *words)
    svm = uv.svms[caller.lpid]
    return get_file(svm.files, caller.pid, gpr) if svm.files else (UvStatus.PARAMETER,)


def _caller_refusal(uv: Ultravisor, caller: Caller, who: Who) -> UvStatus | None:
    """U_PERMISSION for another class; U_BAD_MODE within a transaction."""
    if who is _HV:
        if not caller.msr & MSR_HV or caller.msr & MSR_PR:
            return UvStatus.PERMISSION
        return UvStatus.BAD_MODE if caller.msr & MSR_TS else None
    user = bool(caller.msr & MSR_PR) and who is not Who.SVM_ANY
    good = _secure(uv, caller) is not None and not user
    return None if good else UvStatus.PERMISSION


def _secure(uv: Ultravisor, caller: Caller) -> Svm | None:
    """The record of a VM that calls with MSR S = 1 and HV = 0, and is secure."""
    if not caller.msr & MSR_S or caller.msr & MSR_HV:
        return None
    svm = uv.svms.get(caller.lpid)
    return svm if svm and svm.state is SvmState.SECURE else None
