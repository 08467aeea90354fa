"""What becomes of a command on its way to the TPM, and of the answer on its way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from pefstack.firmware.hypervisor.relay.altered import flipped
from pefstack.firmware.hypervisor.relay.course import Step
from pefstack.firmware.hypervisor.relay.substituted import (
    forged,
    salted,
    swapped,
    unsalted,
)
from pefstack.firmware.hypervisor.relay.wire import (
    FAILED,
    SUCCESS,
    RawCommand,
    SessionUse,
    code_of,
)
from pefstack.hw.tpm.codes import TpmSe
from pefstack.hw.tpm.structures import put_uint32

if TYPE_CHECKING:
    from pefstack.firmware.hypervisor.relay.generic.script import Scripted

Delivery = Callable[["Scripted", bytes], bytes]


def handed_on(relay: Scripted, command: bytes) -> bytes:
    """As an honest relay does."""
    return relay.passed(command)


def refused(_: Scripted, __: bytes) -> bytes:
    """A failure, and the TPM sees nothing."""
    return FAILED


def swallowed(_: Scripted, __: bytes) -> bytes:
    """A success, and the TPM sees nothing."""
    return SUCCESS


def dropped(_: Scripted, __: bytes) -> bytes:
    """No answer."""
    return b""


def replayed(relay: Scripted, command: bytes) -> bytes:
    """The answer to an earlier command of the same code."""
    found = relay.pool.exchange_of(code_of(command))
    return found.answer if found else FAILED


def mixed_up(relay: Scripted, command: bytes) -> bytes:
    """The answer to any other command; this one goes to the TPM."""
    relay.passed(command)
    found = relay.pool.exchange()
    return found.answer if found else FAILED


def twice(relay: Scripted, command: bytes) -> bytes:
    """Sent twice, and one of the answers."""
    answers = relay.passed(command), relay.hands.send(command)
    return relay.choices.of(answers)


def delayed(relay: Scripted, command: bytes) -> bytes:
    """Kept for later; the answer is of what was kept before."""
    kept, relay.held = relay.held, command
    return relay.hands.send(kept) if kept else FAILED


def reordered(relay: Scripted, command: bytes) -> bytes:
    """Behind a command that was kept."""
    if relay.held:
        relay.hands.send(relay.held)
    return relay.passed(command)


def bit_of_command(relay: Scripted, command: bytes) -> bytes:
    """One bit of the command changed."""
    return relay.passed(_with_bit(relay, command))


def bit_of_answer(relay: Scripted, command: bytes) -> bytes:
    """One bit of the answer changed."""
    return _with_bit(relay, relay.passed(command))


def cut(relay: Scripted, command: bytes) -> bytes:
    """The answer cut short, its length put right or not."""
    answer = relay.passed(command)
    short = answer[: relay.choices.below(len(answer))]
    return _with_size(short) if relay.choices.odds(128) else short


def prolonged(relay: Scripted, command: bytes) -> bytes:
    """The answer with something behind it."""
    more = relay.hands.stream.random_bytes(1 + relay.choices.below(64))
    longer = relay.passed(command) + more
    return _with_size(longer) if relay.choices.odds(128) else longer


def other_handle(relay: Scripted, command: bytes) -> bytes:
    """The command for another entity."""
    parts = RawCommand.from_bytes(command)
    if not parts.handles:
        return relay.passed(command)
    place = relay.choices.below(len(parts.handles))
    handles = list(parts.handles)
    handles[place] = relay.pool.handle()
    return relay.passed(replace(parts, handles=tuple(handles)).to_bytes())


def other_session(relay: Scripted, command: bytes) -> bytes:
    """The command with another session, attributes or HMAC."""
    parts = RawCommand.from_bytes(command)
    uses = tuple(_other_use(relay, use) for use in parts.uses)
    return relay.passed(replace(parts, uses=uses).to_bytes())


def other_answer_handle(relay: Scripted, command: bytes) -> bytes:
    """The answer with another handle."""
    answer = relay.passed(command)
    return answer[:10] + put_uint32(relay.pool.handle()) + answer[14:]


def redirected(relay: Scripted, command: bytes) -> bytes:
    """PolicySecret for a session of its own."""
    parts = RawCommand.from_bytes(command)
    own = relay.hands.start().handle
    return relay.passed(replace(parts, handles=(*parts.handles[:1], own)).to_bytes())


def _other_use(relay: Scripted, use: SessionUse) -> SessionUse:
    others = (
        replace(use, attributes=1),
        replace(use, hmac=relay.pool.hmac()),
        replace(use, handle=relay.pool.policy()),
        replace(use, attributes=relay.choices.byte()),
        SessionUse(),
    )
    return relay.choices.of(others)


def _with_bit(relay: Scripted, raw: bytes) -> bytes:
    if not raw:
        return raw
    changed, at = bytearray(raw), relay.choices.below(len(raw))
    changed[at] ^= 1 << relay.choices.byte() % 8
    return bytes(changed)


def _with_size(answer: bytes) -> bytes:
    if len(answer) < 6:
        return answer
    return answer[:2] + put_uint32(len(answer)) + answer[6:]


_OWN_P: Final = partial(unsalted, TpmSe.POLICY)
_OWN_A: Final = partial(unsalted, TpmSe.HMAC)
ANYWHERE: Final[tuple[Delivery, ...]] = (
    handed_on,
    refused,
    swallowed,
    dropped,
    replayed,
    mixed_up,
    twice,
    delayed,
    reordered,
    bit_of_command,
    bit_of_answer,
    cut,
    prolonged,
    other_handle,
    other_session,
    other_answer_handle,
)
_SECRET: Final[tuple[Delivery, ...]] = (swapped, redirected, flipped)
FITTING: Final[dict[Step, tuple[Delivery, ...]]] = {
    Step.START_A: (_OWN_A, replayed),
    Step.START_P: (_OWN_P, salted, replayed),
    Step.READ_PUBLIC: (forged, flipped, replayed),
    Step.AUTHORIZE_IMPORT: _SECRET,
    Step.AUTHORIZE_LOAD: _SECRET,
    Step.AUTHORIZE_UNSEAL: _SECRET,
    Step.IMPORT: (flipped, other_session, replayed),
    Step.LOAD: (flipped, other_answer_handle, replayed),
    Step.UNSEAL: (flipped, other_session, replayed, twice),
    Step.FLUSH_CONTEXT: (swallowed, delayed),
}
"""What makes sense at a step: a scripted relay takes these more often."""


def at(step: Step) -> tuple[Delivery, ...]:
    """The deliveries for a step, the fitting ones as likely as all others."""
    fitting = FITTING.get(step, ())
    times = len(ANYWHERE) // len(fitting) if fitting else 0
    return ANYWHERE + fitting * times
