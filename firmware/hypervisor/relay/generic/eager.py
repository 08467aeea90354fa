"""What an attacker does whenever it may help: use every session for all it can do."""

from __future__ import annotations

from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from pefstack.firmware.hypervisor.relay.course import Step
from pefstack.firmware.hypervisor.relay.honest import STUCK
from pefstack.firmware.hypervisor.relay.listening import heard
from pefstack.firmware.hypervisor.relay.own_session import OwnSession
from pefstack.firmware.hypervisor.relay.protocol import Exchange
from pefstack.firmware.hypervisor.relay.ticket import policy_ticket
from pefstack.firmware.hypervisor.relay.wire import (
    RawCommand,
    handle_of,
    parameters_of,
    rc_of,
    sized_values,
)
from pefstack.hw.tpm.codes import TpmAlgId, TpmCc
from pefstack.hw.tpm.structures import put_tpm2b, put_uint16

if TYPE_CHECKING:
    from pefstack.firmware.hypervisor.relay.generic.script import Scripted

WORTH: Final = (Step.IMPORT, Step.LOAD, Step.UNSEAL)


def try_sessions(relay: Scripted, step: Step, command: bytes) -> None:
    """The sessions that are there, and a fresh one, before a command goes on."""
    if step is Step.IMPORT:
        relay.import_body = RawCommand.from_bytes(command).parameters
    if step not in WORTH:
        return
    sessions = relay.hands.sessions
    for handle in {relay.course.p, relay.course.policy, *sessions} - {0}:
        _try_all(relay, sessions.get(handle, OwnSession(handle=handle)))
    if relay.course.policy not in sessions:  # else it would take that one's place
        _try_all(relay, _fresh(relay))


def listen(relay: Scripted, command: bytes, answer: bytes) -> None:
    """Whatever an answer hides, with every key that it has."""
    for key in {b"", *(own.key for own in relay.hands.sessions.values())}:
        with suppress(*STUCK):
            relay.got(heard(Exchange(command, answer), key))


def _fresh(relay: Scripted) -> OwnSession:
    """With all of the policy that is for free, and a ticket if there was one."""
    own = relay.hands.start()
    if found := relay.pool.exchange_of(TpmCc.POLICY_SECRET):
        policy_ticket(relay, found.answer, own.handle)
    relay.hands.policy_pcr(own.handle, relay.known.pcr)
    return own


def _try_all(relay: Scripted, policy: OwnSession) -> None:
    """Unseal, else Load, else Import: the first that succeeds uses the policy up."""
    for item in {relay.course.loaded, relay.spoils.loaded} - {0}:
        name = put_uint16(TpmAlgId.SHA256) + sha256(relay.course.public).digest()
        if not rc_of(relay.hands.by_own(TpmCc.UNSEAL, (item, name), policy)):
            return
    if not (_load(relay, policy) or relay.spoils.private):
        _import(relay, policy)


def _load(relay: Scripted, policy: OwnSession) -> bool:
    private = relay.spoils.private or relay.course.private
    if not private:
        return False
    body = put_tpm2b(private) + put_tpm2b(relay.course.public)
    answer = relay.hands.by_own(TpmCc.LOAD, relay.key_entity, policy, body)
    relay.spoils.loaded = handle_of(answer) or relay.spoils.loaded
    return not rc_of(answer)


def _import(relay: Scripted, policy: OwnSession) -> None:
    body = relay.import_body
    answer = relay.hands.by_own(TpmCc.IMPORT, relay.key_entity, policy, body)
    if not rc_of(answer):
        (private,) = sized_values(parameters_of(TpmCc.IMPORT, answer), 1)
        relay.spoils.private = private
