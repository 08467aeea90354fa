"""A relay that hands everything on, and one that interferes at steps of its choice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from pefstack.firmware.hypervisor.relay.course import Course, Step
from pefstack.firmware.hypervisor.relay.hands import Hands
from pefstack.firmware.hypervisor.relay.own_session import OwnSession
from pefstack.firmware.hypervisor.relay.protocol import (
    NOTHING_MORE,
    Carrier,
    Exchange,
    Known,
    Relay,
)
from pefstack.firmware.hypervisor.relay.wire import FAILED
from pefstack.hw.tpm.crypto.stream import Stream
from pefstack.hw.tpm.response_codes import Refusal
from pefstack.images.errors import FormatError

if TYPE_CHECKING:
    from pefstack.hw.tpm.crypto.rsa import RsaKey


@dataclass(slots=True)
class Spoils:
    """What an attack over several attempts has so far."""

    private: bytes = field(default=b"", repr=False)
    loaded: int = 0
    key: RsaKey | None = None
    session: OwnSession = field(default_factory=OwnSession)


class Honest(Relay):
    """Hands everything on.

    ``seen``: what passed, as the ultravisor saw it; ``outcomes``: what an attack got.
    Both are in `view` too, with all that the relay exchanged with the TPM.
    """

    def __init__(
        self, tpm: Carrier, stream: Stream, known: Known = NOTHING_MORE
    ) -> None:
        self.hands = Hands(tpm, stream)
        self.known = known
        self.course = Course()
        self.spoils = Spoils()
        self.seen: list[Exchange] = []
        self.outcomes: list[bytes] = []

    def execute(self, command: bytes) -> bytes:
        """What the ultravisor gets."""
        self.hands.view.append(command)
        step = self.course.enter(command)
        answer = self.answered(step, command)
        self.seen.append(Exchange(command, answer))
        return answer

    @property
    def view(self) -> list[bytes]:
        """Everything that it has seen, sent and worked out, in order."""
        return self.hands.view

    def got(self, outcome: bytes) -> None:
        """Note what an attack has come to."""
        self.outcomes.append(outcome)
        self.hands.view.append(outcome)

    def operand_slot(self, body: bytes) -> bytes:
        """As it was."""
        return body

    def storage_key(self, public: bytes) -> bytes:
        """As it was."""
        return public

    def answered(self, step: Step, command: bytes) -> bytes:
        """The answer to a command at a step: here the TPM's."""
        return self.passed(command)

    def passed(self, command: bytes) -> bytes:
        """The TPM's answer to a command of the ultravisor, changed or not."""
        answer = self.hands.carry(command)
        self.course.note(answer)
        return answer


Deed = Callable[[Honest, bytes], bytes]
"""Of the relay and the ultravisor's command: an answer, to be used or given."""
STUCK: Final = (
    FormatError,
    Refusal,
    ValueError,
)  # the TPM did not answer as the deed expects


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """Deeds before a command is handed on, deeds instead of that, changes elsewhere.

    ``before`` gives an outcome, ``instead`` the ultravisor's answer; ``slot`` changes
    the operand, ``key`` the public area in the hand-over. ``stopped_by``: the defence.
    """

    what: str
    stopped_by: str
    before: Mapping[Step, Deed] = field(default_factory=dict)
    instead: Mapping[Step, Deed] = field(default_factory=dict)
    slot: Deed | None = None
    key: Deed | None = None

    def make(
        self, tpm: Carrier, stream: Stream, known: Known = NOTHING_MORE
    ) -> Interfering:
        """A relay with this attack."""
        return Interfering(self, tpm, stream, known)


class Interfering(Honest):
    """A relay with one attack; what that leaves alone is handed on."""

    def __init__(
        self, attack: Attack, tpm: Carrier, stream: Stream, known: Known
    ) -> None:
        super().__init__(tpm, stream, known)
        self.attack = attack

    def answered(self, step: Step, command: bytes) -> bytes:
        """With the deeds for this step."""
        before, instead = self.attack.before.get(step), self.attack.instead.get(step)
        if before:
            self.got(self._done(before, command))
        if instead:
            return self._done(instead, command)
        return super().answered(step, command)

    def operand_slot(self, body: bytes) -> bytes:
        """The attack's, if it has one."""
        slot = self.attack.slot
        return slot(self, body) if slot else super().operand_slot(body)

    def storage_key(self, public: bytes) -> bytes:
        """The attack's, if it has one."""
        key = self.attack.key
        return key(self, public) if key else super().storage_key(public)

    def _done(self, deed: Deed, command: bytes) -> bytes:
        """A deed that cannot go on ends in a failure, never in an exception."""
        try:
            return deed(self, command)
        except STUCK:
            return FAILED
