"""Context blobs: what ContextSave gives away, and only this TPM reads (Part 1, 30).

An object's blob is encrypted and carries an HMAC; both keys follow from a secret of
this TPM Reset and the proof of the object's hierarchy, so that nothing of before a TPM
Reset, a Clear or a changed seed comes back. A session stays inside, its blob is an HMAC
over its handle and sequence number. A hash sequence stays inside too: the library that
computes it cannot put it into bytes; the oldest of many are forgotten.
"""

from __future__ import annotations

from hmac import compare_digest
from typing import Final

from pefstack.hw.tpm.buffers import TPM2B_NAME
from pefstack.hw.tpm.codes import TpmAlgId, TpmRh
from pefstack.hw.tpm.context import Context
from pefstack.hw.tpm.crypto.hashes import hmac
from pefstack.hw.tpm.crypto.kdf import kdfa
from pefstack.hw.tpm.crypto.symmetric import BLOCK_SIZE, cfb_decrypt, cfb_encrypt
from pefstack.hw.tpm.objects import FIRST_TRANSIENT, Loadable, Sequence, TpmObject
from pefstack.hw.tpm.public import TPM2B_PUBLIC_OR_NULL
from pefstack.hw.tpm.response_codes import Refusal, TpmRc
from pefstack.hw.tpm.sensitive import TPM2B_SENSITIVE
from pefstack.hw.tpm.state import Internals
from pefstack.hw.tpm.structures import (
    TPMI_YES_NO,
    Reader,
    put_sized,
    put_tpm2b,
    put_uint32,
    put_uint64,
    whole,
)

ALG: Final = int(TpmAlgId.SHA512)
MAC_SIZE: Final = 64
KEY_BITS: Final = 256
MAX_SAVED_SEQUENCES: Final = 256
ORDINARY: Final = FIRST_TRANSIENT
SEQUENCE: Final = FIRST_TRANSIENT + 1
ST_CLEAR: Final = FIRST_TRANSIENT + 2


def save_session(inner: Internals, handle: int) -> Context:
    """Move a session out of its slot."""
    sequence = inner.state.sessions.save(handle)
    blob = _mac(inner, sequence, handle, TpmRh.NULL, b"")
    return Context(
        sequence=sequence, saved_handle=handle, hierarchy=TpmRh.NULL, blob=blob
    )


def load_session(inner: Internals, context: Context) -> int:
    """Bring it back, once: TPM_RC_HANDLE for any but its latest context."""
    mac, _ = _split(inner, context)
    if len(context.blob) != len(mac):
        raise Refusal(TpmRc.INTEGRITY)
    inner.state.sessions.load(context.saved_handle, context.sequence)
    return context.saved_handle


def save_object(inner: Internals, loaded: Loadable) -> Context:
    """A copy of what is in a slot; the slot keeps it."""
    state = inner.state
    state.change_saved()  # no number is given out twice, even when power fails
    state.object_contexts += 1
    sequence = state.object_contexts
    if isinstance(loaded, Sequence):
        saved_handle, body = SEQUENCE, b""
        _keep(inner, sequence, loaded)
    else:
        saved_handle = ST_CLEAR if loaded.is_st_clear else ORDINARY
        key, iv = _cipher(inner, sequence, saved_handle, loaded.hierarchy)
        body = cfb_encrypt(key, iv, _written(loaded))
    mac = _mac(inner, sequence, saved_handle, loaded.hierarchy, body)
    return Context(
        sequence=sequence,
        saved_handle=saved_handle,
        hierarchy=loaded.hierarchy,
        blob=mac + body,
    )


def load_object(inner: Internals, context: Context) -> Loadable:
    """The object of a context; the HMAC is checked before anything is decrypted."""
    _, body = _split(inner, context)
    if not inner.state.hierarchies[context.hierarchy].enabled:
        raise Refusal(TpmRc.HIERARCHY)
    if context.saved_handle == SEQUENCE:
        kept = inner.state.saved_sequences.get(context.sequence)
        if kept is None:
            raise Refusal(TpmRc.HANDLE)
        return kept.fork()
    where = context.sequence, context.saved_handle, context.hierarchy
    key, iv = _cipher(inner, *where)
    return _read(cfb_decrypt(key, iv, body), context.hierarchy)


def _keep(inner: Internals, number: int, sequence: Sequence) -> None:
    saved = inner.state.saved_sequences
    if len(saved) >= MAX_SAVED_SEQUENCES:
        del saved[min(saved)]
    saved[number] = sequence.fork()


def _split(inner: Internals, context: Context) -> tuple[bytes, bytes]:
    mac, body = context.blob[:MAC_SIZE], context.blob[MAC_SIZE:]
    where = context.sequence, context.saved_handle, context.hierarchy
    if not compare_digest(mac, _mac(inner, *where, body)):
        raise Refusal(TpmRc.INTEGRITY)
    return mac, body


def _mac(
    inner: Internals, sequence: int, handle: int, hierarchy: int, body: bytes
) -> bytes:
    secret = _secret(inner, hierarchy)
    epoch = inner.state.clear_count if handle == ST_CLEAR else 0
    return hmac(
        ALG, secret, b"INTEGRITY", put_uint64(epoch), _where(sequence, handle), body
    )


def _cipher(
    inner: Internals, sequence: int, handle: int, hierarchy: int
) -> tuple[bytes, bytes]:
    """A key and an IV of this context alone: no two have one sequence number."""
    where = _where(sequence, handle)
    bits = KEY_BITS + 8 * BLOCK_SIZE
    derived = kdfa(ALG, _secret(inner, hierarchy), b"CONTEXT", where, b"", bits)
    return derived[:-BLOCK_SIZE], derived[-BLOCK_SIZE:]


def _secret(inner: Internals, hierarchy: int) -> bytes:
    state = inner.state
    return state.context_secret + state.hierarchies[hierarchy].proof


def _where(sequence: int, handle: int) -> bytes:
    return put_uint64(sequence) + put_uint32(handle)


def _written(loaded: TpmObject) -> bytes:
    flags = bytes((loaded.external, loaded.below_st_clear))
    areas = put_sized(loaded.public) + put_sized(loaded.sensitive)
    return flags + put_tpm2b(loaded.name) + put_tpm2b(loaded.qualified_name) + areas


def _read(raw: bytes, hierarchy: int) -> TpmObject:
    def unmarshal(reader: Reader) -> TpmObject:
        return TpmObject(
            external=bool(TPMI_YES_NO(reader)),
            below_st_clear=bool(TPMI_YES_NO(reader)),
            name=TPM2B_NAME(reader),
            qualified_name=TPM2B_NAME(reader),
            public=TPM2B_PUBLIC_OR_NULL(reader),
            sensitive=TPM2B_SENSITIVE(reader),
            hierarchy=hierarchy,
        )

    return whole(unmarshal, raw)
