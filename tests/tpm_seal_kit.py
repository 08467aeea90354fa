"""Sealing for a TPM off line: what another machine imports (tpm.md 4, formulas).

Written from the formulas with nothing of the package, so that it can test it.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from hmac import digest as hmac_digest

from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.hashes import SHA256

from tpm_client_kit import kdfa, two_b

KEYED_HASH = bytes.fromhex("0008000b")
NO_SCHEME = bytes.fromhex("0010")
USER_WITH_AUTH = 0x40


@dataclass(frozen=True, kw_only=True)
class Sealed:
    """The three files of tpm2_import: TPM2B_PUBLIC, _PRIVATE, _ENCRYPTED_SECRET."""

    public: bytes
    duplicate: bytes
    seed: bytes


def seal_offline(
    storage_key: bytes, secret: bytes, policy: bytes, auth: bytes = b""
) -> Sealed:
    """Seal for the RSA storage key of this TPM2B_PUBLIC (AES-128, SHA-256)."""
    obfuscation, seed = bytes(range(32)), bytes(range(32, 64))
    unique = sha256(obfuscation + secret).digest()
    attributes = bytes(4)
    area = KEYED_HASH + attributes + two_b(policy) + NO_SCHEME + two_b(unique)
    name = b"\0\x0b" + sha256(area).digest()
    sensitive = b"\0\x08" + two_b(auth) + two_b(obfuscation) + two_b(secret)
    key = kdfa(0xB, seed, b"STORAGE", name, b"", 128)
    cipher = Cipher(AES(key), CFB(bytes(16))).encryptor()
    hidden = cipher.update(two_b(sensitive)) + cipher.finalize()
    integrity = kdfa(0xB, seed, b"INTEGRITY", b"", b"", 256)
    outer = hmac_digest(integrity, hidden + name, "sha256")
    return Sealed(
        public=two_b(area),
        duplicate=two_b(two_b(outer) + hidden),
        seed=two_b(_wrapped(storage_key, seed)),
    )


def _wrapped(storage_key: bytes, seed: bytes) -> bytes:
    modulus = int.from_bytes(storage_key[-256:], "big")
    key = RSAPublicNumbers(65537, modulus).public_key()
    padding = OAEP(MGF1(SHA256()), SHA256(), b"DUPLICATE\0")
    return key.encrypt(seed, padding)
