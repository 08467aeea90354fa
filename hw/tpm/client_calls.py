"""The commands of firmware and ultravisor, as `Call` (esm.md 4.1 to 4.3; Part 3)."""

from __future__ import annotations

from collections.abc import Sequence

from pefstack.hw.tpm.client_call import Call
from pefstack.hw.tpm.codes import TpmAlgId, TpmCc, TpmRh
from pefstack.hw.tpm.names import handle_name
from pefstack.hw.tpm.selections import Selection, selection_bytes
from pefstack.hw.tpm.structures import (
    put_digests,
    put_tpm2b,
    put_uint16,
    put_uint32,
)

Entity = tuple[int, bytes]
"""A handle and its Name."""


def permanent(handle: int) -> Entity:
    """A hierarchy, session or PCR: its Name is the handle."""
    return handle, handle_name(handle)


PLATFORM = permanent(TpmRh.PLATFORM)


def read_public(key: Entity) -> Call:
    """ReadPublic."""
    return Call(code=TpmCc.READ_PUBLIC, handles=(key,))


def nv_read_public(index: int) -> Call:
    """NV_ReadPublic."""
    return Call(code=TpmCc.NV_READ_PUBLIC, handles=((index, b""),))


def flush_context(handle: int) -> Call:
    """FlushContext; the handle is a parameter."""
    return Call(code=TpmCc.FLUSH_CONTEXT, parameters=put_uint32(handle))


def policy_secret(
    entity: Entity, session: int, nonce_tpm: bytes = b"", expiration: int = 0
) -> Call:
    """PolicySecret; with a negative expiration the answer would carry a ticket."""
    body = put_tpm2b(nonce_tpm) + put_tpm2b(b"") + put_tpm2b(b"")
    body += expiration.to_bytes(4, "big", signed=True)
    handles = (entity, permanent(session))
    return Call(code=TpmCc.POLICY_SECRET, handles=handles, parameters=body)


def policy_pcr(session: int, selection: Selection) -> Call:
    """PolicyPCR for the values as they stand."""
    body = put_tpm2b(b"") + selection_bytes(selection)
    return _of_policy(TpmCc.POLICY_PCR, session, body)


def policy_command_code(session: int, code: int) -> Call:
    """PolicyCommandCode."""
    return _of_policy(TpmCc.POLICY_COMMAND_CODE, session, put_uint32(code))


def policy_auth_value(session: int) -> Call:
    """PolicyAuthValue."""
    return _of_policy(TpmCc.POLICY_AUTH_VALUE, session)


def policy_or(session: int, branches: Sequence[bytes]) -> Call:
    """PolicyOR."""
    return _of_policy(TpmCc.POLICY_OR, session, put_digests(list(branches)))


def import_(parent: Entity, public: bytes, duplicate: bytes, seed: bytes) -> Call:
    """Import without inner wrap; the contents of the three TPM2B."""
    body = put_tpm2b(b"") + put_tpm2b(public) + put_tpm2b(duplicate) + put_tpm2b(seed)
    body += put_uint16(TpmAlgId.NULL)
    return Call(code=TpmCc.IMPORT, handles=(parent,), parameters=body)


def load(parent: Entity, private: bytes, public: bytes) -> Call:
    """Load."""
    body = put_tpm2b(private) + put_tpm2b(public)
    return Call(code=TpmCc.LOAD, handles=(parent,), parameters=body, gives_handle=True)


def unseal(item: Entity) -> Call:
    """Unseal."""
    return Call(code=TpmCc.UNSEAL, handles=(item,))


def rsa_decrypt(key: Entity, cipher_text: bytes) -> Call:
    """RSA_Decrypt with the key's own scheme and no label."""
    body = put_tpm2b(cipher_text) + put_uint16(TpmAlgId.NULL) + put_tpm2b(b"")
    return Call(code=TpmCc.RSA_DECRYPT, handles=(key,), parameters=body)


def create_primary(hierarchy: Entity, public: bytes) -> Call:
    """CreatePrimary with an empty authValue and no data."""
    body = _sensitive(b"") + put_tpm2b(public) + put_tpm2b(b"") + put_uint32(0)
    return Call(
        code=TpmCc.CREATE_PRIMARY,
        handles=(hierarchy,),
        parameters=body,
        gives_handle=True,
    )


def create(parent: Entity, auth_value: bytes, public: bytes) -> Call:
    """Create with an authValue, the first parameter."""
    body = _sensitive(auth_value) + put_tpm2b(public) + put_tpm2b(b"") + put_uint32(0)
    return Call(code=TpmCc.CREATE, handles=(parent,), parameters=body)


def evict_control(item: Entity, persistent: int) -> Call:
    """EvictControl by the platform: make persistent, or take that away."""
    body = put_uint32(persistent)
    return Call(code=TpmCc.EVICT_CONTROL, handles=(PLATFORM, item), parameters=body)


def object_change_auth(item: Entity, parent: Entity, auth_value: bytes) -> Call:
    """ObjectChangeAuth; the answer is the new private part."""
    return Call(
        code=TpmCc.OBJECT_CHANGE_AUTH,
        handles=(item, parent),
        parameters=put_tpm2b(auth_value),
    )


def nv_define_space(auth_value: bytes, nv_public: bytes) -> Call:
    """NV_DefineSpace by the platform."""
    body = put_tpm2b(auth_value) + put_tpm2b(nv_public)
    return Call(code=TpmCc.NV_DEFINE_SPACE, handles=(PLATFORM,), parameters=body)


def nv_write(index: Entity, data: bytes) -> Call:
    """NV_Write from offset 0, authorized by the index's own authValue."""
    body = put_tpm2b(data) + put_uint16(0)
    return Call(code=TpmCc.NV_WRITE, handles=(index, index), parameters=body)


def nv_change_auth(index: Entity, auth_value: bytes) -> Call:
    """NV_ChangeAuth; wants a policy session for that command."""
    return Call(
        code=TpmCc.NV_CHANGE_AUTH, handles=(index,), parameters=put_tpm2b(auth_value)
    )


def hierarchy_change_auth(hierarchy: Entity, auth_value: bytes) -> Call:
    """HierarchyChangeAuth."""
    return Call(
        code=TpmCc.HIERARCHY_CHANGE_AUTH,
        handles=(hierarchy,),
        parameters=put_tpm2b(auth_value),
    )


def _of_policy(code: int, session: int, body: bytes = b"") -> Call:
    return Call(code=code, handles=(permanent(session),), parameters=body)


def _sensitive(auth_value: bytes) -> bytes:
    """TPM2B_SENSITIVE_CREATE without data."""
    return put_tpm2b(put_tpm2b(auth_value) + put_tpm2b(b""))
