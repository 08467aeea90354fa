"""RSA keys of owners and machines: PEM files, and what opens a lockbox with them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pefstack.images.esm_blob import EsmBlob
from pefstack.images.esm_blob_refusal import BlobError, BlobRefusal, EsmProfile
from pefstack.images.esm_item import check_key
from pefstack.images.esm_lockbox import SYMKEY_SIZE, Lockbox, fingerprint_of_pem
from pefstack.tools.errors import UsageError
from pefstack.tools.esm.password import Password
from pefstack.tools.files import read_bytes

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import (
        RSAPrivateKey,
        RSAPublicKey,
    )

KEY_BITS: Final = 2048
MAX_PEM_SIZE: Final = 0x4000


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """An RSA-2048 key; ``pem`` as OpenSSL spells it, whatever the file was like.

    ``fingerprint`` is that of ``pem``; ``file_fingerprint`` that of the file, which
    IBM's tool takes: they differ for a file without its last newline.
    """

    pem: bytes
    fingerprint: bytes
    file_fingerprint: bytes

    def owns(self, lockbox: Lockbox) -> bool:
        """Whether a lockbox says that it is for this key."""
        return lockbox.fingerprint in (self.fingerprint, self.file_fingerprint)


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretKey:
    """The secret half; ``name`` is the file's, for messages."""

    name: str
    public: PublicKey
    key: RSAPrivateKey = field(repr=False)

    def open(self, lockbox: Lockbox) -> bytes | None:
        """What is in the lockbox, if it is for this key."""
        from cryptography.hazmat.primitives.asymmetric import padding
        from cryptography.hazmat.primitives.hashes import SHA256

        if len(lockbox.encrypted_symkey) != SYMKEY_SIZE:
            return None
        scheme = padding.OAEP(padding.MGF1(SHA256()), SHA256(), None)
        try:
            return self.key.decrypt(lockbox.encrypted_symkey, scheme)
        except ValueError:
            return None


def read_public_key(path: Path) -> PublicKey:
    """The public key of a PEM file; `UsageError` for anything else in it."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    raw = _pem(path)
    try:
        key = load_pem_public_key(raw)
    except (ValueError, UnsupportedAlgorithm):
        found = "a private key" if b"PRIVATE KEY" in raw else "no PEM public key"
        raise UsageError(f"{path}: {found}, expected a public key") from None
    if not isinstance(key, RSAPublicKey) or key.key_size != KEY_BITS:
        raise UsageError(f"{path}: not an RSA key of {KEY_BITS} bits")
    return _public(key, raw)


def read_secret_key(path: Path, password: Password) -> SecretKey:
    """The secret key of a PEM file, PKCS#1 or PKCS#8; `UsageError` for others.

    ``password`` is called if the key has one. That the numbers fit together is not
    tested, which would take longer than all the rest: a key that is broken opens
    nothing.
    """
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    raw = _pem(path)
    key = _loaded(path, raw, None)
    if key is None:
        key = _loaded(path, raw, password(path))
    if not isinstance(key, RSAPrivateKey) or key.key_size != KEY_BITS:
        raise UsageError(f"{path}: not an RSA key of {KEY_BITS} bits")
    return SecretKey(name=str(path), public=_public(key.public_key()), key=key)


def _loaded(path: Path, raw: bytes, password: bytes | None) -> object:
    """The key, or None for one that has a password when there was none given."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        return load_pem_private_key(raw, password, unsafe_skip_rsa_key_validation=True)
    except TypeError:
        if password is None:
            return None
        raise UsageError(f"{path}: no password was given") from None
    except (ValueError, UnsupportedAlgorithm):
        wrong = "no PEM private key" if password is None else "the password is wrong"
        raise UsageError(f"{path}: {wrong}") from None


def master_key(blob: EsmBlob, key: SecretKey) -> bytes:
    """The master key, from whichever lockbox the key opens.

    A lockbox with the key's fingerprint comes first; the others are tried because IBM's
    tool writes fingerprints that nobody finds again. Raises `UsageError` for a key of
    no lockbox, `BlobError` B_LOCKBOX for its lockbox damaged, B_MASTER_KEY for another
    size, and B_TAG if the digests are under another key.
    """
    boxes = sorted(blob.lockboxes, key=lambda box: not key.public.owns(box))
    opened = (content for box in boxes if (content := key.open(box)) is not None)
    if (found := next(opened, None)) is None:
        raise _unopened(boxes, key)
    check_key(found, EsmProfile.STRICT)
    if blob.digests is not None:
        blob.digests.open(found)
    return found


def _unopened(boxes: list[Lockbox], key: SecretKey) -> Exception:
    if boxes and key.public.owns(boxes[0]):
        field_name, right = f"{boxes[0].name} encrypted-symkey", "what its key opens"
        return BlobError(BlobRefusal.LOCKBOX, field_name, 0, "other bytes", right)
    return UsageError(f"{key.name}: no lockbox of the blob opens with this key")


def generate_pair(password: bytes) -> tuple[bytes, bytes]:
    """(public, secret) PEM of a new RSA-2048 key.

    Without a password the secret half is PKCS#1 as from IBM's tool; with one it is
    PKCS#8 under AES-256, which that tool reads.
    """
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

    key = generate_private_key(65537, KEY_BITS)
    form = s.PrivateFormat.PKCS8 if password else s.PrivateFormat.TraditionalOpenSSL
    lock = s.BestAvailableEncryption(password) if password else s.NoEncryption()
    secret = key.private_bytes(s.Encoding.PEM, form, lock)
    return _public(key.public_key()).pem, secret


def _public(key: RSAPublicKey, raw: bytes = b"") -> PublicKey:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    own = fingerprint_of_pem(pem)
    other = fingerprint_of_pem(raw) if raw else own
    return PublicKey(pem=pem, fingerprint=own, file_fingerprint=other)


def _pem(path: Path) -> bytes:
    raw = read_bytes(path)
    if len(raw) > MAX_PEM_SIZE:
        limit = f"at most 0x{MAX_PEM_SIZE:x}"
        raise UsageError(f"{path}: 0x{len(raw):x} bytes, expected {limit}")
    return raw
