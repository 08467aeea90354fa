"""E8, V-key: a key of the relay's own, of which it knows the private part.

Who gets a salt to such a key has the session: it opens the salt, wraps it again for the
key in the TPM, and makes every HMAC that the ultravisor makes. E8 needs a wrong public
area in the hand-over; V-key answers ReadPublic with it.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Final

from pefstack.firmware.hypervisor.relay.course import Step
from pefstack.firmware.hypervisor.relay.honest import Attack, Honest
from pefstack.firmware.hypervisor.relay.own_session import (
    AES_BITS,
    ALG,
    SALT_LABEL,
    OwnSession,
    hidden_for,
)
from pefstack.firmware.hypervisor.relay.wire import (
    RawCommand,
    code_of,
    handle_of,
    parameters_of,
    rc_of,
    sessions_of,
    sized_values,
    take_sized,
)
from pefstack.hw.tpm.codes import HEADER_SIZE, TpmCc, TpmSt
from pefstack.hw.tpm.crypto import hashes, sessions
from pefstack.hw.tpm.crypto.stream import Stream
from pefstack.hw.tpm.structures import put_tpm2b, put_uint16, put_uint32

if TYPE_CHECKING:
    from pefstack.hw.tpm.crypto.rsa import RsaKey

_BITS: Final = 2048
_MODULUS: Final = _BITS // 8  # bytes, the end of a TPMT_PUBLIC of RSA


def own_key(stream: Stream) -> RsaKey:
    """An RSA-2048 key that follows from a stream."""
    from pefstack.hw.tpm.crypto import rsa

    return rsa.generate(stream, _BITS)


def _exchanged(relay: Honest, public: bytes) -> bytes:
    """A public area with the modulus of a key of the relay's own."""
    if relay.spoils.key is None:
        relay.spoils.key = own_key(relay.hands.stream)
    return public[:-_MODULUS] + relay.spoils.key.n.to_bytes(_MODULUS, "big")


def _salted_again(relay: Honest, command: bytes) -> bytes:
    """Opens the salt and wraps it for the key in the TPM: it knows the session."""
    from pefstack.hw.tpm.crypto import rsa

    parts = RawCommand.from_bytes(command)
    nonce, hidden = sized_values(parts.parameters, 2)
    key = relay.spoils.key
    if key is None or not hidden:
        return relay.passed(command)
    salt = rsa.oaep_decrypt(key, ALG, SALT_LABEL, hidden)
    relay.got(salt)
    rest = parts.parameters[len(put_tpm2b(nonce) + put_tpm2b(hidden)) :]
    real = _public(relay, parts.handles[0])[-_MODULUS:]
    wrapped = put_tpm2b(hidden_for(real, salt, relay.hands.stream))
    parts = replace(parts, parameters=put_tpm2b(nonce) + wrapped + rest)
    answer = relay.passed(parts.to_bytes())
    _note_session(relay, answer, salt, nonce)
    return answer


def _note_session(relay: Honest, answer: bytes, salt: bytes, nonce: bytes) -> None:
    if not rc_of(answer):
        nonce_tpm = answer[16:]
        key = sessions.session_key(ALG, b"", salt, nonce_tpm, nonce)
        handle = handle_of(answer)
        relay.spoils.session = OwnSession(handle=handle, key=key, nonce_tpm=nonce_tpm)


def _public(relay: Honest, handle: int) -> bytes:
    raw = relay.hands.plain(TpmCc.READ_PUBLIC, (handle,))
    return sized_values(parameters_of(TpmCc.READ_PUBLIC, raw), 1)[0]


def _proven(relay: Honest, command: bytes) -> bytes:
    """ReadPublic's answer with the other key, encrypted and with its right HMAC."""
    answer = relay.passed(command)
    body = parameters_of(TpmCc.READ_PUBLIC, answer)
    area = sessions_of(TpmCc.READ_PUBLIC, answer)
    nonce_tpm, at = take_sized(area, 0)
    (use,) = RawCommand.from_bytes(command).uses
    key, nonces = relay.spoils.session.key, (nonce_tpm, use.nonce)
    public = _exchanged(relay, _public(relay, relay.known.storage_key))
    hidden = sessions.encrypt_parameter(ALG, AES_BITS, key, *nonces, public)
    _, end = take_sized(body, 0)
    body = put_tpm2b(hidden) + body[end:]
    rp_hash = hashes.rp_hash(ALG, TpmCc.READ_PUBLIC, body)
    mac = sessions.session_hmac(ALG, key, rp_hash, *nonces, area[at])
    rest = put_uint32(len(body)) + body + area[: at + 1] + put_tpm2b(mac)
    head = put_uint16(TpmSt.SESSIONS) + put_uint32(HEADER_SIZE + len(rest))
    return head + put_uint32(0) + rest


def _unseal(relay: Honest, _: bytes) -> bytes:
    """Unseal under P, which the ultravisor authorized, with the HMAC that it needs."""
    loads = [each for each in relay.seen if code_of(each.command) == TpmCc.LOAD]
    nonce_tpm, _end = take_sized(sessions_of(TpmCc.LOAD, loads[-1].answer), 0)
    session = relay.spoils.session.newer(nonce_tpm)
    name = put_uint16(ALG) + sha256(relay.course.public).digest()
    item = relay.course.loaded, name
    return relay.hands.by_own(TpmCc.UNSEAL, item, session)


def _other_public(relay: Honest, command: bytes) -> bytes:
    """ReadPublic without sessions, answered with a key of the relay's own."""
    answer = relay.passed(command)
    if rc_of(answer) or answer[:2] != put_uint16(TpmSt.NO_SESSIONS):
        return answer
    public, end = take_sized(answer, HEADER_SIZE)
    return answer[:HEADER_SIZE] + put_tpm2b(_exchanged(relay, public)) + answer[end:]


OWN_KEY: Final = {
    "E8": Attack(
        what="Has a key of its own handed over as the storage key, opens the salts and "
        "unseals with the ultravisor's session.",
        stopped_by="the Name of the storage key, checked before any salt",
        before={Step.UNSEAL: _unseal},
        instead={
            Step.START_A: _salted_again,
            Step.START_P: _salted_again,
            Step.READ_PUBLIC: _proven,
        },
        key=_exchanged,
    ),
    "V-key": Attack(
        what="Answers ReadPublic of the wrapping key with a key of its own and opens "
        "the salt.",
        stopped_by="the Name of the wrapping key, checked before any salt (4.1)",
        instead={Step.READ_PUBLIC: _other_public, Step.START_P: _salted_again},
    ),
}
