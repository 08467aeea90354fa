"""E: a session of the relay in the place of the ultravisor's (relay.json E1 to E10)."""

from __future__ import annotations

from functools import partial
from typing import Final

from pefstack.firmware.hypervisor.relay.course import Step
from pefstack.firmware.hypervisor.relay.honest import Attack, Honest
from pefstack.firmware.hypervisor.relay.own_session import (
    CONTINUE,
    NONCE_SIZE,
    hidden_for,
)
from pefstack.firmware.hypervisor.relay.wire import (
    SUCCESS,
    RawCommand,
    handle_of,
    number,
    parameters_of,
    rc_of,
    sized_values,
)
from pefstack.hw.tpm.codes import (
    HANDLE_TYPE_SHIFT,
    TpmaSession,
    TpmCc,
    TpmHt,
    TpmSe,
    TpmSt,
)
from pefstack.hw.tpm.sealing import read_key
from pefstack.hw.tpm.structures import put_tpm2b, put_uint8, put_uint32
from pefstack.images.errors import FormatError


def unsalted(kind: int, relay: Honest, _: bytes) -> bytes:
    """The answer to a StartAuthSession of the relay's own."""
    relay.hands.start(kind)
    return relay.hands.last


def salted(relay: Honest, _: bytes) -> bytes:
    """The same, with a salt of the relay's own for the same key."""
    hands, handle = relay.hands, relay.known.storage_key
    raw = hands.plain(TpmCc.READ_PUBLIC, (handle,))
    modulus = read_key(sized_values(parameters_of(TpmCc.READ_PUBLIC, raw), 1)[0]).unique
    if not isinstance(modulus, bytes):
        raise FormatError("storage key", "unique", 0, "a point", "a modulus")
    salt = hands.stream.random_bytes(NONCE_SIZE)
    hidden = hidden_for(modulus, salt, hands.stream)
    hands.start(salt_key=handle, salt=salt, encrypted_salt=hidden)
    return hands.last


def swapped(relay: Honest, command: bytes) -> bytes:
    """Flushes P and starts a session that gets its handle; the command goes on."""
    for handle in list(relay.hands.sessions):
        relay.hands.flush(handle)
    relay.hands.flush(relay.course.p)
    relay.hands.start()
    return relay.passed(command)


def next_use(relay: Honest, command: bytes) -> bytes:
    """One of Import, Load, Unseal with the session that was authorized last."""
    hands, spoils = relay.hands, relay.spoils
    key, policy = relay.known.storage_key, relay.course.policy
    if spoils.loaded:
        return hands.by_policy(TpmCc.UNSEAL, (spoils.loaded,), policy)
    if spoils.private:
        body = put_tpm2b(spoils.private) + put_tpm2b(relay.course.public)
        answer = hands.by_policy(TpmCc.LOAD, (key,), policy, body)
        spoils.loaded = handle_of(answer)
        return answer
    body = RawCommand.from_bytes(command).parameters
    answer = hands.by_policy(TpmCc.IMPORT, (key,), policy, body)
    if not rc_of(answer):
        (spoils.private,) = sized_values(parameters_of(TpmCc.IMPORT, answer), 1)
    return answer


def _once_kept(relay: Honest, command: bytes) -> bytes:
    """Substitutes P as soon as it has kept the object of an earlier attempt."""
    if relay.spoils.loaded:
        return unsalted(TpmSe.POLICY, relay, command)
    return relay.passed(command)


def _keep(relay: Honest, command: bytes) -> bytes:
    """Swallows the flush of the object."""
    handle = number(RawCommand.from_bytes(command).parameters, 0)
    if relay.spoils.loaded or handle >> HANDLE_TYPE_SHIFT != TpmHt.TRANSIENT:
        return relay.passed(command)
    relay.spoils.loaded = handle
    return SUCCESS


def _unseal_kept(relay: Honest, _: bytes) -> bytes:
    if not relay.spoils.loaded:
        return b""
    handles, policy = (relay.spoils.loaded,), relay.course.policy
    return relay.hands.by_policy(TpmCc.UNSEAL, handles, policy)


def forged(relay: Honest, _: bytes) -> bytes:
    """ReadPublic's answer as it should be, with an HMAC out of the air."""
    raw = relay.hands.plain(TpmCc.READ_PUBLIC, (relay.known.storage_key,))
    body = parameters_of(TpmCc.READ_PUBLIC, raw)
    nonce, hmac = (relay.hands.stream.random_bytes(NONCE_SIZE) for _ in range(2))
    attributes = CONTINUE | TpmaSession.ENCRYPT
    area = put_tpm2b(nonce) + put_uint8(attributes) + put_tpm2b(hmac)
    rest = put_uint32(0) + put_uint32(len(body)) + body + area
    return TpmSt.SESSIONS.to_bytes(2, "big") + put_uint32(len(rest) + 6) + rest


_OWN_P: Final = partial(unsalted, TpmSe.POLICY)
SUBSTITUTED: Final = {
    "E1": Attack(
        what="Keeps the object of an attempt loaded, gives the next one its own "
        "session for P, and unseals once that is authorized.",
        stopped_by="the proof of P",
        before={Step.IMPORT: _unseal_kept},
        instead={Step.START_P: _once_kept, Step.FLUSH_CONTEXT: _keep},
    ),
    "E2": Attack(
        what="Gives the ultravisor a session of its own for P, with a salt of its own.",
        stopped_by="the proof of P",
        instead={Step.START_P: salted},
    ),
    "E3": Attack(
        what="Gives the ultravisor a session of its own for P.",
        stopped_by="the proof of P",
        instead={Step.START_P: _OWN_P},
    ),
    "E4": Attack(
        what="Gives the ultravisor a session of its own for P and forges its proof.",
        stopped_by="the HMAC of each answer, checked before its use",
        instead={Step.START_P: _OWN_P, Step.READ_PUBLIC: forged},
    ),
    "E5": Attack(
        what="Flushes P after its proof, starts a session with the same handle, and "
        "imports, loads and unseals with it, an attempt each.",
        stopped_by="nonceTPM in PolicySecret",
        before={Step.IMPORT: next_use},
        instead={Step.AUTHORIZE_IMPORT: swapped},
    ),
    "E9": Attack(
        what="Gives the ultravisor a session of its own for A.",
        stopped_by="the bound and salted A, whose HMAC PolicySecret needs",
        instead={Step.START_A: partial(unsalted, TpmSe.HMAC)},
    ),
    "E10": Attack(
        what="Gives the ultravisor a session of its own for P, and imports, loads and "
        "unseals with it, an attempt each.",
        stopped_by="the proof of P",
        before={Step.IMPORT: next_use},
        instead={Step.START_P: _OWN_P},
    ),
}
