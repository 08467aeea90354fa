"""UV_ESM as a call: one question after the other, and its end.

Enter, refuse, abort (esm.md 2.2) or kill (2.3).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from pefstack.firmware.ultravisor.codes import (
    TPM_CLOSE,
    HCall,
    UvStatus,
)
from pefstack.firmware.ultravisor.effects import (
    Aborted,
    Effect,
    End,
    Entered,
    Killed,
    Reason,
    Refused,
)
from pefstack.firmware.ultravisor.esm import advance
from pefstack.firmware.ultravisor.esm_perform import perform
from pefstack.firmware.ultravisor.esm_refusal import EsmRefusal
from pefstack.firmware.ultravisor.esm_state import EsmCaller, EsmState
from pefstack.firmware.ultravisor.esm_tree import TPM_BUFFERS
from pefstack.firmware.ultravisor.kill import kill
from pefstack.firmware.ultravisor.release import release, terminate
from pefstack.firmware.ultravisor.svm import SvmState
from pefstack.firmware.ultravisor.ultravisor import Ultravisor

RECORD_STEP: Final = 5
_ENDS: Final = (Entered, Refused, Aborted, Killed)


_SECOND: Final = Refused(
    UvStatus.RETRY,
    Reason(
        step=RECORD_STEP,
        name=EsmRefusal.RECORD,
        text="another call of this VM is not at its end",
    ),
)


def begin(uv: Ultravisor, caller: EsmCaller) -> Refused | None:
    """A VM makes the call; None: nothing has happened yet, and it goes on by `step`.

    While another processor of the VM is in the call it is refused, as with a record.
    """
    state = EsmState(caller=caller)
    if caller.lpid not in uv.calls:
        uv.calls[caller.lpid] = state
        return None
    _, outcome = advance(state)
    refused = outcome if isinstance(outcome, Refused) else _SECOND
    uv.note(caller.lpid, refused.reason)
    return refused


def run(uv: Ultravisor, lpid: int) -> End:
    """The whole call."""
    end = None
    while end is None:
        end = step(uv, lpid)
    return end


def step(uv: Ultravisor, lpid: int) -> End | None:
    """Do what the call asks for next; its end, or None while it goes on.

    A machine can be forked between two steps: everything that is known is in
    ``uv.calls``.
    """
    state, outcome = _pending(uv, lpid)
    if not isinstance(outcome, _ENDS):
        state, outcome = _done(uv, state, outcome)
    uv.calls[lpid] = state
    if isinstance(outcome, _ENDS):
        return _ended(uv, state, outcome)
    uv.asked[lpid] = state, outcome
    return None


def _pending(uv: Ultravisor, lpid: int) -> tuple[EsmState, Effect | End]:
    """What a state asks is known, if it is the one that asked last."""
    state, asked = uv.calls[lpid], uv.asked.get(lpid)
    return asked if asked is not None and asked[0] is state else advance(state)


def _done(
    uv: Ultravisor, state: EsmState, question: Effect
) -> tuple[EsmState, Effect | End]:
    """One question answered; the hypervisor may end the VM before it, or meanwhile."""
    if _is_terminated(uv, state):
        return state, _terminated(state)
    answer = perform(uv, state, question)
    if _is_terminated(uv, state):
        return state, _terminated(state)
    return advance(state, answer)


def _is_terminated(uv: Ultravisor, state: EsmState) -> bool:
    """Whether the record that this call made is gone."""
    return state.step > RECORD_STEP and state.caller.lpid not in uv.svms


def _terminated(state: EsmState) -> Aborted:
    text = "the hypervisor ended the VM during the call (UV_SVM_TERMINATE)"
    return Aborted(Reason(step=state.step, name=EsmRefusal.TERMINATED, text=text))


def _ended(uv: Ultravisor, state: EsmState, end: End) -> End:
    """What the end of a call means for the record; its secrets go with the call."""
    lpid = state.caller.lpid
    del uv.calls[lpid]
    uv.asked.pop(lpid, None)
    _close_tpm(uv, state)
    if isinstance(end, Aborted):
        return _abort(uv, lpid, end)
    if isinstance(end, Killed):
        kill(uv, lpid, end.reason)
    if isinstance(end, Refused):
        uv.note(lpid, end.reason)
        if state.step > RECORD_STEP:
            terminate(uv, lpid)
    return end


def _close_tpm(uv: Ultravisor, state: EsmState) -> None:
    """Nothing more will be asked; what the hypervisor answers does not matter."""
    if TPM_BUFFERS in state.reserved:
        uv.hypercall(state.caller.lpid, HCall.SVM_TPM_COMM, TPM_CLOSE)


def _abort(uv: Ultravisor, lpid: int, end: Aborted) -> Aborted:
    """Everything is wiped before the hypervisor hears of it; it ends the record.

    A record that it leaves stays in state ABORT: the VM gets no second try until
    UV_SVM_TERMINATE.
    """
    uv.note(lpid, end.reason)
    svm = uv.svms.get(lpid)
    if svm is not None:
        release(uv, svm)
        svm.state = SvmState.ABORT
    status = uv.hypercall(lpid, HCall.SVM_INIT_ABORT)[0]
    return replace(end, status=status)
