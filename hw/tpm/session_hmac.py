"""Session HMACs, and encryption of the first parameter (tpm.md 3)."""

from __future__ import annotations

from typing import Any, Final

from pefstack.hw.tpm.codes import TpmAlgId, TpmaSession
from pefstack.hw.tpm.crypto.hashes import digest, hmac
from pefstack.hw.tpm.crypto.kdf import kdfa
from pefstack.hw.tpm.crypto.symmetric import cfb_decrypt, cfb_encrypt, xor_mask
from pefstack.hw.tpm.session import Session, SessionUse

_AES_BLOCK_BITS: Final = 128


def bind_value(entity: Any, auth_hash: int) -> bytes:
    """What a session keeps of the entity it is bound to: Name, digest of authValue."""
    name: bytes = entity.name
    return name + digest(auth_hash, entity.auth_value)


def hmac_key(session: Session, entity: Any | None) -> bytes:
    """sessionKey || authValue, as far as the authValue belongs in it.

    Not for the entity that the session is bound to; for a policy only after
    PolicyAuthValue; not where nothing is authorized.
    """
    if entity is None:
        return session.session_key
    if session.policy is not None:
        takes_part = session.policy.needs_auth_value
    else:
        takes_part = session.bound != bind_value(entity, session.auth_hash)
    auth_value: bytes = entity.auth_value if takes_part else b""
    return session.session_key + auth_value


def session_hmac(
    key: bytes,
    session: Session,
    p_hash: bytes,
    nonces: tuple[bytes, bytes],
    further: bytes,
    attributes: int,
) -> bytes:
    """The HMAC; ``nonces`` are the newer and the older, ``further`` those of others."""
    parts = (p_hash, *nonces, further, bytes((attributes,)))
    return hmac(session.auth_hash, key, *parts)


def further_nonces(uses: list[SessionUse]) -> bytes:
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
    return b"".join(found)


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
    symmetric = session.symmetric
    if symmetric.alg == TpmAlgId.XOR:
        return xor_mask(symmetric.key_bits, key, *nonces, data)
    bits = symmetric.key_bits + _AES_BLOCK_BITS
    made = kdfa(session.auth_hash, key, b"CFB", *nonces, bits)
    size = symmetric.key_bits // 8
    crypt = cfb_decrypt if decrypt else cfb_encrypt
    return crypt(made[:size], made[size:], data)
