"""Session HMACs, and encryption of the first parameter (tpm.md 3)."""

from __future__ import annotations

from hmac import compare_digest
from typing import Any

from pefstack.hw.tpm.codes import TpmAlgId, TpmaSession
from pefstack.hw.tpm.crypto.hashes import digest
from pefstack.hw.tpm.crypto.sessions import (
    decrypt_parameter,
    encrypt_parameter,
    session_hmac,
)
from pefstack.hw.tpm.crypto.symmetric import xor_mask
from pefstack.hw.tpm.invocation import Invocation
from pefstack.hw.tpm.response_codes import Refusal, TpmRc
from pefstack.hw.tpm.session import Session
from pefstack.hw.tpm.session_area import where
from pefstack.hw.tpm.session_use import SessionUse
from pefstack.hw.tpm.structures import UINT16, Reader, put_uint16


def bind_value(entity: Any, auth_hash: int) -> bytes:
    """What a session keeps of the entity it is bound to: Name, digest of authValue."""
    name: bytes = entity.name
    return name + digest(auth_hash, entity.auth_value)


def is_bound_to(session: Session, entity: Any | None) -> bool:
    """Whether a session is bound to the entity as it is now."""
    if entity is None or not session.bound:
        return False
    return session.bound == bind_value(entity, session.auth_hash)


def hmac_key(session: Session, entity: Any | None, *, is_bound: bool) -> bytes:
    """sessionKey || authValue, as far as the authValue belongs in it.

    Not for the entity that the session is bound to when the command comes; for a policy
    only after PolicyAuthValue; not where nothing is authorized.
    """
    if entity is None:
        return session.session_key
    if session.policy is not None:
        takes_part = session.policy.needs_auth_value
    else:
        takes_part = not is_bound
    auth_value: bytes = entity.auth_value if takes_part else b""
    return session.session_key + auth_value


def further_nonces(uses: list[SessionUse]) -> tuple[bytes, ...]:
    """For the first session: nonceTPM of the decrypt and the encrypt session.

    Only where they are another session; once, when it is the same for both.
    """
    found: list[bytes] = []
    seen: set[int] = {uses[0].handle}
    for attribute in (TpmaSession.DECRYPT, TpmaSession.ENCRYPT):
        for use in uses:
            if use.has(attribute) and use.session and use.handle not in seen:
                seen.add(use.handle)
                found.append(use.session.nonce_tpm)
    return tuple(found)


def crypt_parameter(
    session: Session,
    entity: Any | None,
    nonces: tuple[bytes, bytes],
    data: bytes,
    *,
    decrypt: bool,
) -> bytes:
    """Encrypt or decrypt a parameter's bytes, without its length field."""
    auth_value: bytes = b"" if entity is None else entity.auth_value
    key = session.session_key + auth_value
    symmetric, alg = session.symmetric, session.auth_hash
    if symmetric.alg == TpmAlgId.XOR:
        return xor_mask(alg, key, *nonces, data)
    crypt = decrypt_parameter if decrypt else encrypt_parameter
    return crypt(alg, symmetric.key_bits, key, *nonces, data)


def hmac_is_good(
    call: Invocation, uses: list[SessionUse], index: int, entity: Any | None
) -> bool:
    """Whether a session carries the HMAC it should; a password has none."""
    use = uses[index]
    session = use.session
    if session is None:
        return False
    use.is_bound = is_bound_to(session, entity)
    key = hmac_key(session, entity, is_bound=use.is_bound)
    if session.is_policy and not key:
        return not use.auth or compare_digest(use.auth, _hmac(call, uses, index, key))
    return compare_digest(use.auth, _hmac(call, uses, index, key))


def _hmac(call: Invocation, uses: list[SessionUse], index: int, key: bytes) -> bytes:
    use = uses[index]
    session = use.session
    if session is None:  # a password has no HMAC
        return b""
    alg = session.auth_hash
    nonces = b"".join(further_nonces(uses)) if index == 0 else b""
    return session_hmac(
        alg,
        key,
        call.cp_hash(alg),
        use.nonce_caller,
        session.nonce_tpm,
        use.attributes,
        nonce_decrypt=nonces,
    )


def decrypt_first(reader: Reader, call: Invocation, uses: list[SessionUse]) -> None:
    """Put the first parameter in clear before the reader, where a session hides it."""
    for index, use in enumerate(uses):
        if use.session is None or not use.has(TpmaSession.DECRYPT):
            continue
        start = reader.offset
        try:
            hidden = reader.take(UINT16(reader))
        except Refusal:
            raise Refusal(TpmRc.SIZE + where(index)) from None
        nonces = use.nonce_caller, use.session.nonce_tpm
        entity = call.authorized(index)
        clear = crypt_parameter(use.session, entity, nonces, hidden, decrypt=True)
        rest = reader.raw[reader.offset : reader.end]
        reader.raw = reader.raw[:start] + put_uint16(len(clear)) + clear + rest
        reader.offset = start
        return
