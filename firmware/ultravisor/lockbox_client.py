"""Opening a lockbox with the wrapping key of real machines (esm.md 4.1).

The number of a step is that of its command: ReadPublic, StartAuthSession,
PolicyCommandCode, PolicyAuthValue, PolicyOR, RSA_Decrypt, FlushContext. Profile
``real`` leaves the session unsalted: whoever keeps the traffic and learns that boot's
password later opens the recorded answer. ``strict`` salts it to the wrapping key.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from pefstack.firmware.ultravisor.conversation import (
    Conversation,
    Script,
    Step,
    TpmCommand,
    Verdict,
)
from pefstack.hw.tpm import client_calls as calls
from pefstack.hw.tpm.client_call import (
    Call,
    check_end,
    malformed,
    plain_answer,
    take_sized,
)
from pefstack.hw.tpm.client_salt import hidden_salt, rsa_2048
from pefstack.hw.tpm.client_session import (
    CONTINUE,
    ClientSession,
    Use,
    answer,
    command_bytes,
    start_call,
    started,
)
from pefstack.hw.tpm.codes import TpmaSession, TpmCc, TpmRh, TpmSe
from pefstack.images.uv_tpm import UvTpm

RANDOM_SIZE: Final = 32
RANDOM_BYTES: Final = 4 * RANDOM_SIZE  # salt, its padding, two nonces
ENCRYPTING: Final = CONTINUE | TpmaSession.ENCRYPT
FLUSH: Final = 7
_SALT, _PADDING, _START_NONCE, _USE_NONCE = range(4)


@dataclass(frozen=True, slots=True, kw_only=True)
class LockboxState(Conversation):
    """One lockbox between two answers; ``cipher_text`` is its RSA-OAEP value.

    ``random`` are `RANDOM_BYTES` from the processor, drawn for this lockbox alone.
    """

    machine: UvTpm
    cipher_text: bytes
    strict: bool
    random: bytes = field(repr=False)
    public: bytes = b""
    session: ClientSession | None = None


def begin(
    machine: UvTpm, cipher_text: bytes, random: bytes, *, strict: bool
) -> LockboxState:
    """The state before the first command; ValueError for another count of bytes."""
    if len(random) != RANDOM_BYTES:
        raise ValueError(f"{len(random)} random bytes, not {RANDOM_BYTES}")
    return LockboxState(
        machine=machine, cipher_text=cipher_text, random=random, strict=strict, step=1
    )


def _drawn(state: LockboxState, number: int) -> bytes:
    return state.random[number * RANDOM_SIZE : (number + 1) * RANDOM_SIZE]


def _key(state: LockboxState) -> calls.Entity:
    return state.machine.wrapping_key_handle, state.machine.wrapping_key_name


def _ask_public(state: LockboxState) -> bytes:
    return calls.read_public(_key(state)).to_bytes()


def _take_public(state: LockboxState, raw: bytes) -> LockboxState:
    """The key's Name must be the one that was handed over."""
    body = plain_answer(calls.read_public(_key(state)), raw).body
    public, _ = take_sized(body, 0)
    rsa_2048(public, state.machine.wrapping_key_name, "wrapping key")
    return replace(state, public=public)


def _salt(state: LockboxState) -> tuple[int, bytes, bytes]:
    """tpmKey, the salt, and what hides it."""
    if not state.strict:
        return TpmRh.NULL, b"", b""
    key = rsa_2048(state.public, state.machine.wrapping_key_name, "wrapping key")
    salt = _drawn(state, _SALT)
    hidden = hidden_salt(key, salt, _drawn(state, _PADDING))
    return state.machine.wrapping_key_handle, salt, hidden


def _ask_start(state: LockboxState) -> bytes:
    key, _, hidden = _salt(state)
    nonce = _drawn(state, _START_NONCE)
    call = start_call(TpmSe.POLICY, nonce, tpm_key=key, encrypted_salt=hidden)
    return call.to_bytes()


def _take_start(state: LockboxState, raw: bytes) -> LockboxState:
    _, salt, _ = _salt(state)
    session = started(TpmSe.POLICY, raw, _drawn(state, _START_NONCE), salt)
    password = state.machine.wrapping_key_password
    return replace(state, session=replace(session, auth_value=password, hmac_auth=True))


def _session(state: LockboxState) -> ClientSession:
    if state.session is None:
        raise malformed("session", 0, "none", "one that was started")
    return state.session


def _policy(state: LockboxState) -> Call:
    handle = _session(state).handle
    if state.step == 3:
        return calls.policy_command_code(handle, TpmCc.RSA_DECRYPT)
    if state.step == 4:
        return calls.policy_auth_value(handle)
    machine = state.machine
    branches = machine.wrapping_key_policy_a, machine.wrapping_key_policy_b
    return calls.policy_or(handle, branches)


def _ask_policy(state: LockboxState) -> bytes:
    return _policy(state).to_bytes()


def _take_policy(state: LockboxState, raw: bytes) -> LockboxState:
    plain_answer(_policy(state), raw)
    return state


def _decrypt(state: LockboxState) -> tuple[Call, Use]:
    use = Use(
        session=_session(state),
        nonce_caller=_drawn(state, _USE_NONCE),
        attributes=ENCRYPTING,
    )
    return calls.rsa_decrypt(_key(state), state.cipher_text), use


def _ask_decrypt(state: LockboxState) -> bytes:
    call, use = _decrypt(state)
    return command_bytes(call, [use])


def _take_decrypt(state: LockboxState, raw: bytes) -> LockboxState:
    call, use = _decrypt(state)
    body = answer(call, raw, [use]).body
    message, end = take_sized(body, 0)
    check_end(body, end)
    return replace(state, secret=message)


def _ask_flush(state: LockboxState) -> bytes | None:
    session = state.session
    return calls.flush_context(session.handle).to_bytes() if session else None


def _ignore(state: LockboxState, _: bytes) -> LockboxState:
    return state


_POLICY: Final = Step(_ask_policy, _take_policy)
SCRIPT: Final[Script[LockboxState]] = Script(
    {
        1: Step(_ask_public, _take_public),
        2: Step(_ask_start, _take_start),
        3: _POLICY,
        4: _POLICY,
        5: _POLICY,
        6: Step(_ask_decrypt, _take_decrypt),
        FLUSH: Step(_ask_flush, _ignore),
    },
    FLUSH,
)


def advance(
    state: LockboxState, raw: bytes | None = None
) -> tuple[LockboxState, TpmCommand | Verdict]:
    """Take the TPM's answer as far as the next command or the verdict."""
    return SCRIPT.advance(state, raw)
