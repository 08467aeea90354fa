"""A conversation with the TPM as a value: numbered questions, then a verdict.

A state's ``step`` is the number of the question that it asks; asking changes nothing,
only an answer does. Any failure leads to the steps that flush, whose answers nobody
looks at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from pefstack.hw.tpm.client import TpmError
from pefstack.images.errors import FormatError


@dataclass(frozen=True, slots=True)
class TpmCommand:
    """A command for the TPM, which the hypervisor carries; asks for its answer."""

    command: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why nothing was opened: for the ultravisor's owner, never for the guest.

    ``rc``: the TPM's response code, 0 where the ultravisor itself refused.
    """

    step: int
    rc: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The end: the secret that was opened, or the failure."""

    secret: bytes | None = field(default=None, repr=False)
    failure: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """What every conversation's state has."""

    step: int = 0
    failure: Failure | None = None
    secret: bytes | None = field(default=None, repr=False)


S = TypeVar("S", bound=Conversation)


def _unchanged(state: S, _: bytes) -> S:
    return state


@dataclass(frozen=True, slots=True)
class Step(Generic[S]):
    """``ask`` gives the command, or None when there is none; ``take`` the answer.

    Both may raise FormatError, ``take`` also `TpmError`. ``claimed`` notes what the
    answer claims, proven or not, so that it is flushed.
    """

    ask: Callable[[S], bytes | None]
    take: Callable[[S, bytes], S]
    claimed: Callable[[S, bytes], S] = _unchanged


@dataclass(frozen=True, slots=True)
class Script(Generic[S]):
    """The steps, from 0 without gaps; those from ``flush_from`` on flush."""

    steps: Mapping[int, Step[S]]
    flush_from: int

    def advance(
        self, state: S, answer: bytes | None = None
    ) -> tuple[S, TpmCommand | Verdict]:
        """Take an answer as far as the next question or the verdict.

        Without an answer it asks the pending question again.
        """
        if answer is not None:
            state = self._taken(state, answer)
        while state.step in self.steps:
            try:
                question = self.steps[state.step].ask(state)
            except FormatError as wrong:
                state = self._failed(state, 0, str(wrong))
                continue
            if question is not None:
                return state, TpmCommand(question)
            state = _next(state)
        return state, Verdict(secret=state.secret, failure=state.failure)

    def run(self, state: S, perform: Callable[[bytes], bytes]) -> Verdict:
        """Answer each question until the end."""
        state, outcome = self.advance(state)
        while isinstance(outcome, TpmCommand):
            state, outcome = self.advance(state, perform(outcome.command))
        return outcome

    def _taken(self, state: S, answer: bytes) -> S:
        step = self.steps[state.step]
        state = step.claimed(state, answer)
        try:
            return _next(step.take(state, answer))
        except TpmError as refused:
            return self._failed(state, refused.code, str(refused))
        except FormatError as wrong:
            return self._failed(state, 0, str(wrong))

    def _failed(self, state: S, rc: int, reason: str) -> S:
        """To the flushing steps, which cannot fail."""
        failure = Failure(step=state.step, rc=rc, reason=reason)
        changes: Any = {
            "failure": failure,
            "secret": None,
            "step": self.flush_from,
        }
        return replace(state, **changes)


def _next(state: S) -> S:
    step: Any = {"step": state.step + 1}
    return replace(state, **step)
