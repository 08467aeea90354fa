"""Wrapping of secrets (tpm.md 3; Part 1, 22 to 24).

Keys of a wrap follow from a seed. ``alg`` and ``key_bits`` are the nameAlg and the AES
key size of the parent (of the endorsement key for a credential), ``name`` the Name of
the object that is protected. Integrity is checked, in constant time, before anything is
decrypted: `IntegrityError`. What cannot be taken apart at all is a ValueError.
"""

from __future__ import annotations

from hmac import compare_digest

from pefstack.hw.tpm.codes import DIGEST_SIZE
from pefstack.hw.tpm.crypto.hashes import constructor, digest, hmac
from pefstack.hw.tpm.crypto.kdf import kdfa
from pefstack.hw.tpm.crypto.symmetric import ZERO_IV, cfb_decrypt, cfb_encrypt


class IntegrityError(ValueError):
    """The HMAC or hash of protected data is not the one it carries."""

    def __init__(self) -> None:
        super().__init__("the integrity value does not match")


def storage_key(alg: int, seed: bytes, name: bytes, key_bits: int) -> bytes:
    """The AES key of a wrap: KDFa(seed, "STORAGE", Name)."""
    return kdfa(alg, seed, b"STORAGE", name, b"", key_bits)


def integrity_key(alg: int, seed: bytes) -> bytes:
    """The HMAC key of a wrap: KDFa(seed, "INTEGRITY")."""
    constructor(alg)
    return kdfa(alg, seed, b"INTEGRITY", b"", b"", 8 * DIGEST_SIZE[alg])


def outer_wrap(alg: int, key_bits: int, seed: bytes, name: bytes, data: bytes) -> bytes:
    """2B(HMAC(enc || Name)) || enc, the data encrypted with an IV of zeros."""
    encrypted = cfb_encrypt(storage_key(alg, seed, name, key_bits), ZERO_IV, data)
    return _two_b(_integrity(alg, seed, name, encrypted)) + encrypted


def outer_unwrap(
    alg: int, key_bits: int, seed: bytes, name: bytes, blob: bytes
) -> bytes:
    """The data of an `outer_wrap`."""
    encrypted = _checked(alg, seed, name, blob)
    return cfb_decrypt(storage_key(alg, seed, name, key_bits), ZERO_IV, encrypted)


def inner_wrap(alg: int, key: bytes, name: bytes, data: bytes) -> bytes:
    """Encrypted with the caller's key: 2B(H(data || Name)) || data.

    ``alg`` is the nameAlg of the object, ``data`` the whole TPM2B_SENSITIVE.
    """
    return cfb_encrypt(key, ZERO_IV, _two_b(digest(alg, data, name)) + data)


def inner_unwrap(alg: int, key: bytes, name: bytes, blob: bytes) -> bytes:
    """The data of an `inner_wrap`; its hash lies inside, so it is checked after."""
    integrity, data = _split(cfb_decrypt(key, ZERO_IV, blob))
    if not compare_digest(integrity, digest(alg, data, name)):
        raise IntegrityError
    return data


def make_credential(
    alg: int, key_bits: int, seed: bytes, name: bytes, credential: bytes
) -> bytes:
    """The contents of a TPM2B_ID_OBJECT: the credential wrapped for a Name."""
    return outer_wrap(alg, key_bits, seed, name, _two_b(credential))


def open_credential(
    alg: int, key_bits: int, seed: bytes, name: bytes, blob: bytes
) -> bytes:
    """The credential of a TPM2B_ID_OBJECT's contents."""
    credential, rest = _split(outer_unwrap(alg, key_bits, seed, name, blob))
    if rest:
        raise ValueError(f"{len(rest)} bytes are left over")
    return credential


def wrap_private(
    alg: int, key_bits: int, seed: bytes, name: bytes, sensitive: bytes, iv: bytes
) -> bytes:
    """The private blob of a child: 2B(HMAC) || 2B(IV) || enc, bound to its Name.

    ``seed`` is the parent's seedValue, ``iv`` 16 fresh random bytes.
    """
    key = storage_key(alg, seed, name, key_bits)
    body = _two_b(iv) + cfb_encrypt(key, iv, sensitive)
    return _two_b(_integrity(alg, seed, name, body)) + body


def unwrap_private(
    alg: int, key_bits: int, seed: bytes, name: bytes, blob: bytes
) -> bytes:
    """The sensitive area of a `wrap_private`."""
    iv, encrypted = _split(_checked(alg, seed, name, blob))
    return cfb_decrypt(storage_key(alg, seed, name, key_bits), iv, encrypted)


def _integrity(alg: int, seed: bytes, name: bytes, body: bytes) -> bytes:
    return hmac(alg, integrity_key(alg, seed), body, name)


def _checked(alg: int, seed: bytes, name: bytes, blob: bytes) -> bytes:
    """What follows the HMAC of a wrap, once that HMAC is right."""
    integrity, body = _split(blob)
    if not compare_digest(integrity, _integrity(alg, seed, name, body)):
        raise IntegrityError
    return body


def _two_b(value: bytes) -> bytes:
    return len(value).to_bytes(2, "big") + value


def _split(raw: bytes) -> tuple[bytes, bytes]:
    """A sized value at the beginning, and what follows it."""
    end = 2 + int.from_bytes(raw[:2], "big")
    if not 2 <= end <= len(raw):
        raise ValueError(f"{len(raw)} bytes are too few")
    return raw[2:end], raw[end:]
