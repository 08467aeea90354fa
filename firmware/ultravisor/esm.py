"""UV_ESM: a state and a table of numbered steps (esm.md 2.1; anchors 4)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from pefstack.firmware.ultravisor import (
    esm_finish,
    esm_measure,
    esm_open,
    esm_search,
    esm_start,
    esm_tree,
)
from pefstack.firmware.ultravisor.effects import (
    Aborted,
    Answer,
    Effect,
    End,
    Entered,
    Killed,
    Reason,
)
from pefstack.firmware.ultravisor.esm_refusal import EsmError, EsmRefusal
from pefstack.firmware.ultravisor.esm_start import Refusing
from pefstack.firmware.ultravisor.esm_state import EsmState, Phase
from pefstack.images.errors import FormatError
from pefstack.images.esm_blob_refusal import BlobError
from pefstack.images.esm_refusal import OperandError, OperandRefusal

SECURE_FROM: Final = 22  # from this step on there is no way back
STEPS: Final[dict[int, tuple[Phase, ...]]] = {
    **esm_start.PHASES,
    **esm_tree.PHASES,
    **esm_search.PHASES,
    **esm_open.PHASES,
    **esm_measure.PHASES,
    **esm_finish.PHASES,
}
ENTER: Final = 23


def advance(
    state: EsmState, answer: Answer | None = None
) -> tuple[EsmState, Effect | End]:
    """Take an answer as far as the next question or the end.

    Without an answer it asks the pending question again and changes nothing.
    """
    try:
        if answer is not None:
            taken = _phase(state).take(state, answer)
            if isinstance(taken, tuple):
                return taken
            state = taken if _phase(state).repeated else _over(taken)
        while state.step < ENTER:
            question = _phase(state).ask(state)
            if question is not None:
                return state, question
            state = _over(state)
    except Refusing as refusing:
        return state, refusing.end(state.step)
    except FormatError as wrong:
        return state, _failed(state, wrong)
    return state, Entered()


def _phase(state: EsmState) -> Phase:
    return STEPS[state.step][state.phase]


def _over(state: EsmState) -> EsmState:
    """The conclusion of a phase, and on to the next."""
    state = _phase(state).settle(state)
    if state.phase + 1 < len(STEPS[state.step]):
        return replace(state, phase=state.phase + 1, gfn=0)
    return replace(state, step=state.step + 1, phase=0, gfn=0)


def _failed(state: EsmState, wrong: FormatError) -> Aborted | Killed:
    rc = state.trouble.rc if state.trouble else 0
    name = _name(wrong)
    unsealed = name in (OperandRefusal.UNSEAL, EsmRefusal.LOCKBOX)
    reason = Reason(
        step=state.step, name=name, text=str(wrong), rc=rc if unsealed else 0
    )
    return Killed(reason) if state.step >= SECURE_FROM else Aborted(reason)


def _name(wrong: FormatError) -> str:
    if isinstance(wrong, EsmError | BlobError | OperandError):
        return str(wrong.refusal)
    return str(EsmRefusal.TREE)
