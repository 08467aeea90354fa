"""A salt for a session, hidden for an RSA key in the TPM (Part 1, "Secret Sharing")."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


from pefstack.hw.tpm.names import object_name
from pefstack.hw.tpm.public import TPMT_PUBLIC, Public, RsaParms
from pefstack.hw.tpm.response_codes import Refusal
from pefstack.hw.tpm.structures import whole
from pefstack.images.errors import FormatError

SALT_SIZE: Final = 32
_LABEL: Final = b"SECRET\0"
_BITS: Final = 2048


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


def rsa_2048(public: bytes, name: bytes, what: str) -> Public:
    """The TPMT_PUBLIC of the RSA-2048 key that has this Name; else FormatError."""
    try:
        key = whole(TPMT_PUBLIC, public)
    except Refusal as refusal:
        found = f"response code 0x{refusal.rc:x}"
        raise FormatError(what, "public", 0, found, "a TPMT_PUBLIC") from None
    if object_name(key) != name:
        found = object_name(key).hex()
        raise FormatError(what, "Name", 0, found, name.hex())
    parameters = key.parameters
    if not isinstance(parameters, RsaParms) or parameters.key_bits != _BITS:
        raise FormatError(what, "type", 0, f"0x{key.type:x}", "RSA-2048")
    if not isinstance(key.unique, bytes) or len(key.unique) != _BITS // 8:
        raise FormatError(what, "unique", 0, "another size", f"0x{_BITS // 8:x} bytes")
    return key


def hidden_salt(key: Public, salt: bytes, padding: bytes) -> bytes:
    """RSA-OAEP with the key's nameAlg, of a key that `rsa_2048` accepted.

    ``padding``: the random bytes of OAEP, as many as the hash has.
    """
    from pefstack.hw.tpm.crypto import rsa

    if not isinstance(key.parameters, RsaParms) or not isinstance(key.unique, bytes):
        raise ValueError("no RSA key")
    exponent = key.parameters.exponent or rsa.DEFAULT_EXPONENT
    modulus = int.from_bytes(key.unique, "big")
    drawn = Drawn(padding)
    return rsa.oaep_encrypt(modulus, exponent, key.name_alg, _LABEL, salt, drawn)
