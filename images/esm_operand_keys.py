"""ESM operand: sealed data, the keys from its seed, cipher and HMAC (esm.md 5.2, 5.4).

The package `cryptography` is loaded when the first block is decrypted.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass, field
from hmac import digest as keyed_digest
from typing import Final

from pefstack.images.esm_operand_payload import PayloadHeader
from pefstack.images.esm_refusal import (
    OperandError,
    OperandRefusal,
    check_number,
    check_range,
)
from pefstack.images.kdfa import kdfa

SEED_SIZE: Final = 32
SEALED_DATA_SIZE: Final = 40
_SEALED: Final = struct.Struct(">32sII")
_R: Final = OperandRefusal


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedData:
    """What a TPM or a lockbox protects: 40 bytes. Prints without the seed."""

    seed: bytes = field(repr=False)
    minimum_version: int = 0

    @classmethod
    def from_bytes(cls, raw: bytes) -> SealedData:
        """Exactly 40 bytes, the last four zero; else `OperandError` E_SEED.

        It tells no byte: what was opened may be the secret of somebody else.
        """
        if len(raw) != SEALED_DATA_SIZE:
            found, right = f"0x{len(raw):x} bytes", f"0x{SEALED_DATA_SIZE:x} bytes"
            raise OperandError(_R.SEED, "sealed data", 0, found, right)
        seed, minimum_version, reserved = _SEALED.unpack(raw)
        if reserved:
            field = "reserved word of the sealed data"
            raise OperandError(_R.SEED, field, 36, "something else", "0x0")
        return cls(seed=seed, minimum_version=minimum_version)

    def to_bytes(self) -> bytes:
        """40 bytes; `OperandError` E_SEED for what does not fit."""
        check_number(_R.SEED, "size of the seed", 0, len(self.seed), SEED_SIZE)
        version = self.minimum_version
        check_range(_R.SEED, "minimum_version", 32, version, range(1 << 32))
        return _SEALED.pack(self.seed, version, 0)


def encryption_key(seed: bytes, header: PayloadHeader) -> bytes:
    """32 bytes, for AES-256-CTR."""
    return _derived(seed, b"ESM-ENC", header, 256)


def mac_of(seed: bytes, payload: bytes, header: PayloadHeader) -> bytes:
    """HMAC-SHA-512 over a payload without the HMAC at its end."""
    key = _derived(seed, b"ESM-MAC", header, 512)
    return keyed_digest(key, payload, hashlib.sha512)


def _derived(seed: bytes, label: bytes, header: PayloadHeader, bits: int) -> bytes:
    nonces = header.svm_id, header.build_nonce
    return kdfa(hashlib.sha256, seed, label, *nonces, bits)


def crypt_block(key: bytes, index: int, data: bytes) -> bytes:
    """Encrypt or decrypt; index 0 is the table, i + 1 the block of entry i."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    counter = index.to_bytes(4, "big") + bytes(12)
    context = Cipher(algorithms.AES(key), modes.CTR(counter)).encryptor()
    return context.update(data) + context.finalize()
