"""A relay that follows a script of bytes: before, instead of and after each command."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from pefstack.firmware.hypervisor.relay.course import Step
from pefstack.firmware.hypervisor.relay.generic import deliveries
from pefstack.firmware.hypervisor.relay.generic.choices import Choices
from pefstack.firmware.hypervisor.relay.generic.eager import listen, try_sessions
from pefstack.firmware.hypervisor.relay.generic.moves import MOVES
from pefstack.firmware.hypervisor.relay.generic.pool import Pool
from pefstack.firmware.hypervisor.relay.honest import STUCK, Honest
from pefstack.firmware.hypervisor.relay.protocol import NOTHING_MORE, Carrier, Known
from pefstack.firmware.hypervisor.relay.wire import (
    FAILED,
    parameters_of,
    sized_values,
)
from pefstack.hw.tpm.codes import TpmCc
from pefstack.hw.tpm.crypto.stream import Stream

SCRIPT_SIZE: Final = 512  # bytes of a script that is drawn: some ten conversations
_RESTLESS: Final = (0, 0, 4, 16, 64)  # of 256 moments: those with a move
_HABITS: Final = (0, 1, 1, 2)
_EAGER: Final = 192  # of 256 scripts
HIDING: Final = (Step.UNSEAL, Step.RSA_DECRYPT)  # whose answers are encrypted
_STEPS: Final = tuple(Step)


class Scripted(Honest):
    """A script decides which habits it has, and what it does with each command.

    A habit is what it always does at a step; how restless it is says how often it moves
    on its own. ``done``: what it did, in words.
    """

    def __init__(
        self,
        script: bytes,
        tpm: Carrier,
        stream: Stream,
        known: Known = NOTHING_MORE,
    ) -> None:
        super().__init__(tpm, stream, known)
        self.choices = Choices(script)
        self.pool = Pool(self, self.choices)
        self.done: list[str] = []
        self.held = self.import_body = b""
        self.key_entity = (known.storage_key, self._name_of(known.storage_key))
        self.eager = self.choices.odds(_EAGER)
        self.restless = self.choices.of(_RESTLESS)
        self.habits = dict(self._habit() for _ in range(self.choices.of(_HABITS)))

    def answered(self, step: Step, command: bytes) -> bytes:
        """Whatever the script makes of it."""
        if self.eager:
            with suppress(*STUCK):
                try_sessions(self, step, command)
        self._move(command)
        deliver = self.habits.get(step, deliveries.handed_on)
        if self.choices.odds(self.restless):
            deliver = self.choices.of(deliveries.at(step))
        try:
            answer = deliver(self, command)
        except STUCK:
            answer = FAILED
        self._note(step.value, deliver)
        if step in HIDING:
            listen(self, command, answer)
        self._move(command)
        return answer

    def _habit(self) -> tuple[Step, deliveries.Delivery]:
        step = self.choices.of(_STEPS)
        return step, self.choices.of(deliveries.at(step))

    def _move(self, command: bytes) -> None:
        if not self.choices.odds(self.restless):
            return
        move = self.choices.of(MOVES)
        with suppress(*STUCK):
            move(self, command)
        self._note("move", move)

    def _note(self, where: str, deed: object) -> None:
        inner = getattr(deed, "func", deed)  # of a partial
        self.done.append(f"{where}: {getattr(inner, '__name__', inner)}")

    def _name_of(self, handle: int) -> bytes:
        raw = self.hands.plain(TpmCc.READ_PUBLIC, (handle,))
        with suppress(*STUCK):
            return sized_values(parameters_of(TpmCc.READ_PUBLIC, raw), 2)[1]
        return b""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyRelay:
    """A row of the table: a script of random bytes."""

    what: str
    stopped_by: str

    def make(
        self, tpm: Carrier, stream: Stream, known: Known = NOTHING_MORE
    ) -> Scripted:
        """A relay whose script is drawn first."""
        return Scripted(stream.random_bytes(SCRIPT_SIZE), tpm, stream, known)


SCRIPTED: Final = {
    "generic": AnyRelay(
        what="Does anything: answers itself, drops, repeats, reorders, delays, changes "
        "and invents commands, as random bytes decide.",
        stopped_by="all defences together",
    ),
}
