"""Hash, HMAC and event sequences (Part 3, "Hash/HMAC/Event Sequences")."""

from __future__ import annotations

import hmac as keyed
from typing import Any, Final

from pefstack.hw.tpm.buffers import TPM2B_AUTH, TPM2B_MAX_BUFFER
from pefstack.hw.tpm.codes import TpmAlgId, TpmCc, TpmSt
from pefstack.hw.tpm.command import Command, Handle, Parameter
from pefstack.hw.tpm.commands.pcr import check_extend, pcr_extend
from pefstack.hw.tpm.crypto.hashes import constructor
from pefstack.hw.tpm.entities import Pcr
from pefstack.hw.tpm.handles import TPMI_DH_OBJECT, TPMI_DH_PCR_OR_NULL
from pefstack.hw.tpm.hierarchies import Hierarchy, trimmed
from pefstack.hw.tpm.interface_types import TPMI_ALG_HASH_OR_NULL, TPMI_RH_HIERARCHY
from pefstack.hw.tpm.message_hashes import hash_ticket, hmac_key, is_safe_block
from pefstack.hw.tpm.objects import Sequence
from pefstack.hw.tpm.response_codes import RC_1, RC_P, Refusal, TpmRc
from pefstack.hw.tpm.state import Internals
from pefstack.hw.tpm.structures import (
    TaggedDigest,
    put_digest_values,
    put_structure,
    put_tpm2b,
    put_uint32,
)
from pefstack.hw.tpm.ticket import Ticket


def hmac_start(inner: Internals, key: Any, auth: bytes, asked: int) -> tuple[int]:
    """A sequence whose result will be an HMAC with the key; the key may go."""
    found, alg = hmac_key(key, asked)
    secret = found.sensitive.sensitive if found.sensitive else b""
    running = keyed.new(secret, digestmod=constructor(alg))
    return (_load(inner, auth, {alg: running}, "hmac"),)


def hash_sequence_start(inner: Internals, auth: bytes, hash_alg: int) -> tuple[int]:
    """A hash sequence; with TPM_ALG_NULL an event sequence, with a hash a bank."""
    if hash_alg == TpmAlgId.NULL:
        banks = {alg: constructor(alg)() for alg in inner.settings.banks}
        return (_load(inner, auth, banks, "event"),)
    return (_load(inner, auth, {hash_alg: constructor(hash_alg)()}, "hash"),)


def _load(inner: Internals, auth: bytes, hashes: dict[int, Any], kind: str) -> int:
    made = Sequence(auth_value=trimmed(auth), hashes=hashes, kind=kind)
    return inner.state.objects.load(made)


def sequence_update(inner: Internals, sequence: Any, data: bytes) -> tuple[()]:
    """The next block of the message."""
    if not isinstance(sequence, Sequence):  # numbered as the reference does
        raise Refusal(TpmRc.MODE + RC_P + RC_1)
    _update(sequence, data)
    return ()


def sequence_complete(
    inner: Internals, sequence: Any, data: bytes, hierarchy: int
) -> tuple[bytes, Ticket]:
    """The last block; the result, and for a hash its ticket. The slot is free again."""
    found = _sequence(sequence, 1, "hash", "hmac")
    _update(found, data)
    ((alg, running),) = found.hashes.items()
    result: bytes = running.digest()
    inner.state.objects.flush(inner.handles[0])
    if found.kind == "hmac":
        return result, Ticket(tag=TpmSt.HASHCHECK)
    is_safe = bool(found.is_safe)
    return result, hash_ticket(inner, hierarchy, alg, result, is_safe=is_safe)


def event_sequence_complete(
    inner: Internals, pcr: Pcr | Hierarchy, sequence: Any, data: bytes
) -> tuple[list[TaggedDigest]]:
    """The last block; the digests of all banks, extended into a PCR."""
    found = _sequence(sequence, 2, "event")
    if isinstance(pcr, Pcr):
        check_extend(inner, pcr)
    _update(found, data)
    digests = [(alg, running.digest()) for alg, running in found.hashes.items()]
    inner.state.objects.flush(inner.handles[1])
    pcr_extend(inner, pcr, digests)
    return (digests,)


def _sequence(entity: Any, handle: int, *kinds: str) -> Sequence:
    if not isinstance(entity, Sequence) or entity.kind not in kinds:
        raise Refusal(TpmRc.MODE + handle * RC_1)
    return entity


def _update(sequence: Sequence, data: bytes) -> None:
    if sequence.is_safe is None:
        sequence.is_safe = is_safe_block(data)
    for running in sequence.hashes.values():
        running.update(data)


_SEQUENCE: Final = Handle(name="sequenceHandle", type=TPMI_DH_OBJECT)
_AUTH: Final = Parameter(name="auth", unmarshal=TPM2B_AUTH)
_HASH_ALG: Final = Parameter(name="hashAlg", unmarshal=TPMI_ALG_HASH_OR_NULL)
_BUFFER: Final = Parameter(name="buffer", unmarshal=TPM2B_MAX_BUFFER)

HMAC_START: Final = Command(
    code=TpmCc.HMAC_START,
    action=hmac_start,
    handles=(Handle(name="handle", type=TPMI_DH_OBJECT),),
    parameters=(_AUTH, _HASH_ALG),
    results=(put_uint32,),
    gives_handle=True,
    decrypts=True,
)
HASH_SEQUENCE_START: Final = Command(
    code=TpmCc.HASH_SEQUENCE_START,
    action=hash_sequence_start,
    parameters=(_AUTH, _HASH_ALG),
    results=(put_uint32,),
    gives_handle=True,
    decrypts=True,
)
SEQUENCE_UPDATE: Final = Command(
    code=TpmCc.SEQUENCE_UPDATE,
    action=sequence_update,
    handles=(_SEQUENCE,),
    parameters=(_BUFFER,),
    decrypts=True,
)
SEQUENCE_COMPLETE: Final = Command(
    code=TpmCc.SEQUENCE_COMPLETE,
    action=sequence_complete,
    handles=(_SEQUENCE,),
    parameters=(_BUFFER, Parameter(name="hierarchy", unmarshal=TPMI_RH_HIERARCHY)),
    results=(put_tpm2b, put_structure),
    flushes=True,
    decrypts=True,
    encrypts=True,
)
EVENT_SEQUENCE_COMPLETE: Final = Command(
    code=TpmCc.EVENT_SEQUENCE_COMPLETE,
    action=event_sequence_complete,
    handles=(Handle(name="pcrHandle", type=TPMI_DH_PCR_OR_NULL), _SEQUENCE),
    parameters=(_BUFFER,),
    results=(put_digest_values,),
    writes_nv=True,
    flushes=True,
    decrypts=True,
)
COMMANDS: Final = (
    HMAC_START,
    HASH_SEQUENCE_START,
    SEQUENCE_UPDATE,
    SEQUENCE_COMPLETE,
    EVENT_SEQUENCE_COMPLETE,
)
