"""Session HMACs, and encryption of the first parameter (tpm.md 3)."""

from __future__ import annotations

from typing import Any

from pefstack.hw.tpm.codes import TpmAlgId, TpmaSession
from pefstack.hw.tpm.crypto.hashes import digest
from pefstack.hw.tpm.crypto.protection import decrypt_parameter, encrypt_parameter
from pefstack.hw.tpm.crypto.symmetric import xor_mask
from pefstack.hw.tpm.session import Session, SessionUse


def bind_value(entity: Any, auth_hash: int) -> bytes:
    """What a session keeps of the entity it is bound to: Name, digest of authValue."""
    name: bytes = entity.name
    return name + digest(auth_hash, entity.auth_value)


def is_bound_to(session: Session, entity: Any | None) -> bool:
    """Whether a session is bound to the entity as it is now; a sequence has no Name."""
    if entity is None or not session.bound or not entity.name:
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
