"""Opening a kind-1 slot through an untrusted relay: 15 commands (esm.md 4.3).

The number of a step is that of its command. Steps 1 and 2 start session A (HMAC, bound
to the index) and P (policy), both salted to the storage key that OPAL handed over. 3
proves P. 4 to 6 Import, 7 to 9 Load, 10 to 12 Unseal: each with PolicySecret, which A
authorizes for P's newest nonce, and PolicyPCR. 13 to 15 flush the object, P and A.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from pefstack.firmware.pef_objects import nv_index_name
from pefstack.firmware.ultravisor.conversation import (
    Conversation,
    Script,
    Step,
    TpmCommand,
    Verdict,
)
from pefstack.firmware.ultravisor.sealed_object import SealedObject
from pefstack.hw.tpm import client_calls as calls
from pefstack.hw.tpm.client_call import (
    Answer,
    Call,
    check_end,
    malformed,
    take_sized,
)
from pefstack.hw.tpm.client_salt import hidden_salt, rsa_2048
from pefstack.hw.tpm.client_session import (
    CONTINUE,
    ClientSession,
    Use,
    answer,
    call_handle,
    command_bytes,
    start_call,
    started,
)
from pefstack.hw.tpm.codes import (
    HANDLE_TYPE_SHIFT,
    TpmAlgId,
    TpmaSession,
    TpmHt,
    TpmRh,
    TpmSe,
)
from pefstack.images.uv_tpm import UvTpm

POLICY_PCR: Final = 6
RANDOM_SIZE: Final = 32
RANDOM_COUNT: Final = 13  # salts, paddings, first nonces, a nonce for each HMAC
RANDOM_BYTES: Final = RANDOM_SIZE * RANDOM_COUNT
ENCRYPTING: Final = CONTINUE | TpmaSession.ENCRYPT
PROVE, IMPORT, LOAD, UNSEAL = 3, 6, 9, 12
FLUSH_OBJECT, FLUSH_P, FLUSH_A = 13, 14, 15
# which of the random values: salt, padding and nonce of A, then of P
_A, _P, _NONCES = 0, 3, 6
_SECRETS: Final = (4, 7, 10)  # the steps that are PolicySecret
_KEYED: Final = sorted((PROVE, *_SECRETS, IMPORT, LOAD, UNSEAL))


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotState(Conversation):
    """One slot between two answers.

    ``random`` are `RANDOM_BYTES` from the processor, drawn for this slot alone. ``pcr``
    is that of the boot policy.
    """

    machine: UvTpm
    sealed: SealedObject
    random: bytes = field(repr=False)
    pcr: int = POLICY_PCR
    a: ClientSession | None = None
    p: ClientSession | None = None
    private: bytes = field(default=b"", repr=False)
    loaded: int = 0


def begin(
    machine: UvTpm, sealed: SealedObject, random: bytes, pcr: int = POLICY_PCR
) -> SlotState:
    """The state before the first command; ValueError for another count of bytes."""
    if len(random) != RANDOM_BYTES:
        raise ValueError(f"{len(random)} random bytes, not {RANDOM_BYTES}")
    return SlotState(machine=machine, sealed=sealed, random=random, pcr=pcr)


def _drawn(state: SlotState, number: int) -> bytes:
    return state.random[number * RANDOM_SIZE : (number + 1) * RANDOM_SIZE]


def _key(state: SlotState) -> calls.Entity:
    return state.machine.storage_key_handle, state.machine.storage_key_name


def _index(state: SlotState) -> calls.Entity:
    return state.machine.nv_index, nv_index_name(state.machine.nv_index)


def _session(session: ClientSession | None) -> ClientSession:
    if session is None:
        raise malformed("session", 0, "none", "one that was started")
    return session


def _check_key(state: SlotState) -> None:
    """The salt goes to the key that was handed over, and it is what its Name says."""
    machine = state.machine
    rsa_2048(machine.storage_key_public, machine.storage_key_name, "storage key")


def _salt(state: SlotState, first: int) -> tuple[int, bytes, bytes]:
    """tpmKey, the salt, and what hides it."""
    machine = state.machine
    name = machine.storage_key_name
    key = rsa_2048(machine.storage_key_public, name, "storage key")
    salt = _drawn(state, first)
    hidden = hidden_salt(key, salt, _drawn(state, first + 1))
    return machine.storage_key_handle, salt, hidden


def _ask_start(kind: TpmSe, first: int, state: SlotState) -> bytes:
    key, _, hidden = _salt(state, first)
    bind = state.machine.nv_index if kind == TpmSe.HMAC else int(TpmRh.NULL)
    nonce = _drawn(state, first + 2)
    call = start_call(kind, nonce, tpm_key=key, bind=bind, encrypted_salt=hidden)
    return call.to_bytes()


def _take_a(state: SlotState, raw: bytes) -> SlotState:
    _, salt, _ = _salt(state, _A)
    bound = state.machine.nv_password
    session = started(TpmSe.HMAC, raw, _drawn(state, _A + 2), salt, bound)
    return replace(state, a=session)


def _take_p(state: SlotState, raw: bytes) -> SlotState:
    _, salt, _ = _salt(state, _P)
    return replace(state, p=started(TpmSe.POLICY, raw, _drawn(state, _P + 2), salt))


def _use(state: SlotState, session: ClientSession | None, attributes: int) -> Use:
    """In this step, with the nonce that is drawn for it."""
    number = _NONCES + _KEYED.index(state.step)
    return Use(
        session=_session(session),
        nonce_caller=_drawn(state, number),
        attributes=attributes,
    )


def _sent(state: SlotState) -> tuple[Call, Use]:
    """The command of this step that a session authorizes or proves, and its use."""
    if state.step in _SECRETS:
        return _policy_secret(state), _use(state, state.a, CONTINUE)
    encrypted = state.step in (PROVE, UNSEAL)
    use = _use(state, state.p, ENCRYPTING if encrypted else CONTINUE)
    return _OF_P[state.step](state), use


def _policy_secret(state: SlotState) -> Call:
    """For P's newest nonce, so that no other session under its handle will do."""
    p = _session(state.p)
    return calls.policy_secret(_index(state), p.handle, p.nonce_tpm, expiration=0)


def _read_public(state: SlotState) -> Call:
    return calls.read_public(_key(state))


def _import(state: SlotState) -> Call:
    sealed = state.sealed
    return calls.import_(_key(state), sealed.public, sealed.duplicate, sealed.seed)


def _load(state: SlotState) -> Call:
    return calls.load(_key(state), state.private, state.sealed.public)


def _unseal(state: SlotState) -> Call:
    return calls.unseal((state.loaded, state.sealed.name))


_OF_P: Final = {
    PROVE: _read_public,
    IMPORT: _import,
    LOAD: _load,
    UNSEAL: _unseal,
}


def _ask(state: SlotState) -> bytes:
    call, use = _sent(state)
    return command_bytes(call, [use])


def _proven(state: SlotState, raw: bytes) -> tuple[SlotState, Answer]:
    """The state with the session's new nonce, and the answer once it is proven."""
    call, use = _sent(state)
    found = answer(call, raw, [use])
    (session,) = found.sessions
    if state.step in _SECRETS:
        return replace(state, a=session), found
    return replace(state, p=session), found


def _take_public(state: SlotState, raw: bytes) -> SlotState:
    """The session is ours, in the TPM that holds the storage key."""
    state, found = _proven(state, raw)
    public, end = take_sized(found.body, 0)
    name, _ = take_sized(found.body, end)
    machine = state.machine
    if (public, name) != (machine.storage_key_public, machine.storage_key_name):
        raise malformed("outPublic", 14, "another key", "the one handed over")
    return state


def _take_secret(state: SlotState, raw: bytes) -> SlotState:
    return _proven(state, raw)[0]


def _ask_pcr(state: SlotState) -> bytes:
    handle = _session(state.p).handle
    return calls.policy_pcr(handle, {TpmAlgId.SHA256: (state.pcr,)}).to_bytes()


def _ignore(state: SlotState, _: bytes) -> SlotState:
    """What answers here proves nothing and is needed for nothing."""
    return state


def _take_private(state: SlotState, raw: bytes) -> SlotState:
    state, found = _proven(state, raw)
    private, end = take_sized(found.body, 0)
    check_end(found.body, end)
    return replace(state, private=private)


def _claim_loaded(state: SlotState, raw: bytes) -> SlotState:
    """The handle, proven or not: it is flushed in any case."""
    handle = call_handle(raw)
    if handle >> HANDLE_TYPE_SHIFT != TpmHt.TRANSIENT:
        return state
    return replace(state, loaded=handle)


def _take_loaded(state: SlotState, raw: bytes) -> SlotState:
    state, found = _proven(state, raw)
    name, end = take_sized(found.body, 0)
    check_end(found.body, end)
    if name != state.sealed.name:
        raise malformed("name", 18, name.hex(), state.sealed.name.hex())
    return state


def _take_secret_data(state: SlotState, raw: bytes) -> SlotState:
    state, found = _proven(state, raw)
    data, end = take_sized(found.body, 0)
    check_end(found.body, end)
    return replace(state, secret=data)


def _ask_flush(state: SlotState) -> bytes | None:
    """Nothing where it was never there."""
    p, a = (each.handle if each else 0 for each in (state.p, state.a))
    there = {FLUSH_OBJECT: state.loaded, FLUSH_P: p, FLUSH_A: a}
    handle = there[state.step]
    return calls.flush_context(handle).to_bytes() if handle else None


_SECRET: Final = Step(_ask, _take_secret)
_PCR: Final = Step(_ask_pcr, _ignore)
_FLUSH: Final = Step(_ask_flush, _ignore)
SCRIPT: Final[Script[SlotState]] = Script(
    {
        0: Step(_check_key, _ignore),
        1: Step(partial(_ask_start, TpmSe.HMAC, _A), _take_a),
        2: Step(partial(_ask_start, TpmSe.POLICY, _P), _take_p),
        PROVE: Step(_ask, _take_public),
        4: _SECRET,
        5: _PCR,
        IMPORT: Step(_ask, _take_private),
        7: _SECRET,
        8: _PCR,
        LOAD: Step(_ask, _take_loaded, _claim_loaded),
        10: _SECRET,
        11: _PCR,
        UNSEAL: Step(_ask, _take_secret_data),
        FLUSH_OBJECT: _FLUSH,
        FLUSH_P: _FLUSH,
        FLUSH_A: _FLUSH,
    },
    FLUSH_OBJECT,
)


def advance(
    state: SlotState, raw: bytes | None = None
) -> tuple[SlotState, TpmCommand | Verdict]:
    """Take the TPM's answer as far as the next command or the verdict."""
    return SCRIPT.advance(state, raw)
