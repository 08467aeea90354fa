"""A salt for a session, hidden for an RSA key in the TPM (Part 1, "Secret Sharing")."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pefstack.hw.tpm.codes import TpmAlgId
from pefstack.hw.tpm.names import object_name
from pefstack.hw.tpm.public import TPMT_PUBLIC, RsaParms
from pefstack.hw.tpm.response_codes import Refusal
from pefstack.hw.tpm.structures import whole
from pefstack.images.errors import FormatError

SALT_SIZE: Final = 32
_LABEL: Final = b"SECRET\0"
_BITS: Final = 2048
_EXPONENT: Final = 65537  # what an exponent of 0 stands for


@dataclass(frozen=True, slots=True)
class Drawn:
    """Random bytes that were drawn before: a `Stream` that gives them once."""

    data: bytes

    def random_bytes(self, count: int) -> bytes:
        """The bytes; ValueError for another count."""
        if count != len(self.data):
            raise ValueError(f"{len(self.data)} bytes drawn, {count} wanted")
        return self.data

    def __repr__(self) -> str:
        return f"Drawn({len(self.data)} bytes)"


@dataclass(frozen=True, slots=True, kw_only=True)
class SaltKey:
    """An RSA-2048 key that takes a salt; its nameAlg is SHA-256."""

    modulus: int
    exponent: int


def rsa_2048(public: bytes, name: bytes, what: str) -> SaltKey:
    """The RSA-2048 key with this TPMT_PUBLIC and this Name; else FormatError."""
    try:
        key = whole(TPMT_PUBLIC, public)
    except Refusal as refusal:
        found = f"response code 0x{refusal.rc:x}"
        raise FormatError(what, "public", 0, found, "a TPMT_PUBLIC") from None
    if object_name(key) != name:
        found = object_name(key).hex()
        raise FormatError(what, "Name", 0, found, name.hex())
    parameters, modulus = key.parameters, key.unique
    if not isinstance(parameters, RsaParms) or parameters.key_bits != _BITS:
        raise FormatError(what, "type", 0, f"0x{key.type:x}", "RSA-2048")
    if not isinstance(modulus, bytes) or len(modulus) != _BITS // 8:
        raise FormatError(what, "unique", 0, "another size", f"0x{_BITS // 8:x} bytes")
    return SaltKey(
        modulus=int.from_bytes(modulus, "big"),
        exponent=parameters.exponent or _EXPONENT,
    )


def hidden_salt(key: SaltKey, salt: bytes, padding: bytes) -> bytes:
    """RSA-OAEP with SHA-256; ``padding``: its 32 random bytes."""
    from pefstack.hw.tpm.crypto import rsa

    drawn = Drawn(padding)
    alg = TpmAlgId.SHA256
    return rsa.oaep_encrypt(key.modulus, key.exponent, alg, _LABEL, salt, drawn)
