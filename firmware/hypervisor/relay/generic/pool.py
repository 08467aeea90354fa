"""What a scripted relay may name: handles, sessions, HMACs, things it has seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pefstack.firmware.hypervisor.relay.generic.choices import Choices
from pefstack.firmware.hypervisor.relay.honest import Honest
from pefstack.firmware.hypervisor.relay.own_policy import GUESS
from pefstack.firmware.hypervisor.relay.own_session import NONCE_SIZE
from pefstack.firmware.hypervisor.relay.protocol import Exchange
from pefstack.firmware.pef_objects import PARENT
from pefstack.hw.tpm.codes import HANDLE_TYPE_SHIFT, TpmHt, TpmRh

_FIRST: Final = tuple(
    (kind << HANDLE_TYPE_SHIFT) + each
    for kind in (TpmHt.POLICY_SESSION, TpmHt.HMAC_SESSION, TpmHt.TRANSIENT)
    for each in range(3)
)
_HIERARCHIES: Final = tuple(
    int(each) for each in (TpmRh.OWNER, TpmRh.PLATFORM, TpmRh.LOCKOUT, TpmRh.NULL)
)


class Pool:
    """Of one relay, by the choices of its script."""

    __slots__ = ("_choices", "_relay", "contexts")

    def __init__(self, relay: Honest, choices: Choices) -> None:
        self._relay = relay
        self._choices = choices
        self.contexts: list[bytes] = []

    def policy(self) -> int:
        """A policy session, of whomever."""
        course, own = self._relay.course, self._relay.hands.sessions
        return self._choices.of((course.p, course.policy, *own, *_FIRST[:3]))

    def item(self) -> int:
        """A loaded object, of whomever."""
        loaded = self._relay.course.loaded, self._relay.spoils.loaded
        return self._choices.of((*loaded, *_FIRST[-3:]))

    def handle(self) -> int:
        """Any handle there may be."""
        course, known = self._relay.course, self._relay.known
        named = course.p, course.a, course.loaded, known.storage_key, known.nv_index
        more = known.wrapping_key, PARENT, known.pcr, *self._relay.hands.sessions
        return self._choices.of((*named, *more, *_FIRST, *_HIERARCHIES))

    def exchange(self) -> Exchange | None:
        """Something that passed, in this run or an earlier one."""
        return self._one_of((*self._relay.known.recorded, *self._relay.seen))

    def exchange_of(self, code: int) -> Exchange | None:
        """The same, of one command code."""
        passed = (*self._relay.known.recorded, *self._relay.seen)
        tag = code.to_bytes(4, "big")
        return self._one_of([each for each in passed if each.command[6:10] == tag])

    def context(self) -> bytes:
        """A context that was saved."""
        return self._choices.of(self.contexts or [b""])

    def hmac(self) -> bytes:
        """Something in the place of an HMAC."""
        random = self._relay.hands.stream.random_bytes(NONCE_SIZE)
        found = self.exchange()
        seen = found.answer[-NONCE_SIZE:] if found else b""
        return self._choices.of((b"", b"", random, seen, bytes(NONCE_SIZE)))

    def password(self) -> bytes:
        """A guess."""
        guesses = b"", GUESS, *self._relay.known.passwords
        return self._choices.of(guesses)

    def _one_of(self, found: Sequence[Exchange]) -> Exchange | None:
        """The newest is the tamest."""
        if not found:
            return None
        return found[len(found) - 1 - self._choices.below(len(found))]
