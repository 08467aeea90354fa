"""UV_ESM, steps 1 to 8: who calls, the record, the hypervisor begins (esm.md 2.1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pefstack.firmware.ultravisor.codes import HCall, UvStatus
from pefstack.firmware.ultravisor.effects import (
    Allocate,
    CreateRecord,
    Hypercall,
    Reason,
    Refused,
)
from pefstack.firmware.ultravisor.esm_refusal import EsmError, EsmRefusal
from pefstack.firmware.ultravisor.esm_state import EsmState, Phase, check
from pefstack.hw.cpu import Level, level_of

CONTEXT_PAGES: Final = 1
DIRECTORY_PAGES: Final = 2  # page directory, page-in bitmap


class Refusing(Exception):
    """A refusal before the hypervisor knows: the caller gets a status."""

    def __init__(self, status: int | None, refusal: EsmRefusal, text: str) -> None:
        super().__init__(status, refusal, text)
        self.status, self.refusal, self.text = status, refusal, text

    def end(self, step: int) -> Refused:
        """As the end of the call."""
        reason = Reason(step=step, name=self.refusal, text=self.text)
        return Refused(self.status, reason)


def _check(
    good: Callable[[EsmState], bool], status: UvStatus, refusal: EsmRefusal, text: str
) -> Phase:
    """Something that the call itself tells."""

    def look(state: EsmState) -> None:
        if not good(state):
            raise Refusing(status, refusal, text)

    return check(look)


def _is_guest(state: EsmState) -> bool:
    """HV and PR are clear; S may be set: such a VM has its record already."""
    return level_of(state.caller.msr) in (Level.GUEST, Level.SECURE_GUEST)


def _take_record(state: EsmState, answer: int) -> EsmState:
    if answer != 1:
        text = "no record: the VM has one already, or secure memory is full"
        raise Refusing(UvStatus.RETRY, EsmRefusal.RECORD, text)
    return state


def _take_context(state: EsmState, answer: int) -> EsmState:
    if answer != 1:
        text = "no secure memory for a context"
        raise Refusing(UvStatus.RETRY, EsmRefusal.CONTEXT, text)
    return state


def _take_directory(state: EsmState, answer: int) -> EsmState:
    """The published code loses the result here: r3 stays the number of the call."""
    if answer != 1:
        status = UvStatus.RETRY if state.strict else None
        text = "no secure memory for page directory and bitmap"
        raise Refusing(status, EsmRefusal.DIRECTORY, text)
    return state


def _take_start(state: EsmState, answer: int) -> EsmState:
    if answer != 0:
        field = HCall.SVM_INIT_START.name
        raise EsmError(EsmRefusal.INIT_START, field, 0, f"{answer}", "0")
    return state


_R = EsmRefusal
PHASES: Final[dict[int, tuple[Phase, ...]]] = {
    1: (_check(_is_guest, UvStatus.PERMISSION, _R.CALLER, "not called by a guest"),),
    2: (_check(lambda s: s.caller.kbase != 0, UvStatus.P2, _R.KBASE, "kbase is 0"),),
    3: (
        _check(
            lambda s: s.caller.fdt_address != 0,
            UvStatus.P3,
            _R.FDT_ADDRESS,
            "the address of the device tree is 0",
        ),
    ),
    4: (
        _check(
            lambda s: s.caller.lpid != 0,
            UvStatus.PERMISSION,
            _R.LPID,
            "LPID 0 is the hypervisor's",
        ),
    ),
    5: (Phase(ask=lambda _: CreateRecord(), take=_take_record),),
    6: (Phase(ask=lambda _: Allocate(CONTEXT_PAGES), take=_take_context),),
    7: (Phase(ask=lambda _: Allocate(DIRECTORY_PAGES), take=_take_directory),),
    8: (Phase(ask=lambda _: Hypercall(HCall.SVM_INIT_START), take=_take_start),),
}
