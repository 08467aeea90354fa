"""What sessions compute: their key, HMACs, encrypted parameters (tpm.md 3; Part 1, 19).

A command without such a session needs none of it.
"""

from __future__ import annotations

from pefstack.hw.tpm.codes import DIGEST_SIZE
from pefstack.hw.tpm.crypto.hashes import constructor, hmac
from pefstack.hw.tpm.crypto.kdf import kdfa
from pefstack.hw.tpm.crypto.symmetric import BLOCK_SIZE, cfb_decrypt, cfb_encrypt


def session_key(
    alg: int, bind_auth: bytes, salt: bytes, nonce_tpm: bytes, nonce_caller: bytes
) -> bytes:
    """The key of a session: empty unless it is bound or salted with something."""
    if not bind_auth + salt:
        return b""
    constructor(alg)
    bits = 8 * DIGEST_SIZE[alg]
    return kdfa(alg, bind_auth + salt, b"ATH", nonce_tpm, nonce_caller, bits)


def session_hmac(
    alg: int,
    key: bytes,
    p_hash: bytes,
    nonce_newer: bytes,
    nonce_older: bytes,
    attributes: int,
    *,
    nonce_decrypt: bytes = b"",
    nonce_encrypt: bytes = b"",
) -> bytes:
    """The HMAC of a session over cpHash or rpHash.

    ``key`` is sessionKey || authValue as the kind of session wants it. The two nonces
    are nonceTPM of another session that encrypts; only the first session has them.
    """
    nonces = nonce_newer + nonce_older + nonce_decrypt + nonce_encrypt
    return hmac(alg, key, p_hash, nonces, bytes((attributes,)))


def encrypt_parameter(
    alg: int,
    key_bits: int,
    key: bytes,
    nonce_newer: bytes,
    nonce_older: bytes,
    data: bytes,
) -> bytes:
    """The contents of a TPM2B under AES-CFB; for XOR see `symmetric.xor_mask`.

    ``key`` is sessionKey || authValue; ``alg`` the session's authHash.
    """
    aes_key, iv = _parameter_key(alg, key_bits, key, nonce_newer, nonce_older)
    return cfb_encrypt(aes_key, iv, data)


def decrypt_parameter(
    alg: int,
    key_bits: int,
    key: bytes,
    nonce_newer: bytes,
    nonce_older: bytes,
    data: bytes,
) -> bytes:
    """The inverse of `encrypt_parameter`."""
    aes_key, iv = _parameter_key(alg, key_bits, key, nonce_newer, nonce_older)
    return cfb_decrypt(aes_key, iv, data)


def _parameter_key(
    alg: int, key_bits: int, key: bytes, newer: bytes, older: bytes
) -> tuple[bytes, bytes]:
    bits = key_bits + 8 * BLOCK_SIZE
    derived = kdfa(alg, key, b"CFB", newer, older, bits)
    return derived[:-BLOCK_SIZE], derived[-BLOCK_SIZE:]
