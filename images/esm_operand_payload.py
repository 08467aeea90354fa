"""ESM operand, payload: header and place of the table, as they lie (esm.md 5.3)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Final

from pefstack.images.esm_refusal import (
    OperandError,
    OperandRefusal,
    check_number,
    check_range,
    check_zero,
)

MAGIC: Final = b"ESMP"
VERSION: Final = 2
HEADER_SIZE: Final = 64
ENTRY_SIZE: Final = 64
MAC_SIZE: Final = 64
MIN_SIZE: Final = HEADER_SIZE + ENTRY_SIZE + MAC_SIZE
MAX_BLOCK_COUNT: Final = 64
FLAG_CLEAR_INTEGRITY: Final = 1

ALGORITHMS: Final = {
    "kdf": "KDFa SHA-256",
    "cipher": "AES-256-CTR",
    "mac": "HMAC-SHA-512",
    "hash": "SHA-512",
}

_HEADER: Final = struct.Struct(">4sHHIHH4s4s16s16s8s")
_ONLY_ONES: Final = b"\1" * len(ALGORITHMS)
_R: Final = OperandRefusal


@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadHeader:
    """The header; ``svm_id`` and ``build_nonce`` have 16 bytes each."""

    payload_size: int
    block_count: int
    clear_integrity: bool = False
    svm_id: bytes
    build_nonce: bytes

    @classmethod
    def from_prefix(cls, payload: bytes, offset: int = 0) -> PayloadHeader:
        """The header of a whole payload that lies at ``offset`` of the operand.

        Raises `OperandError`, E_PAY_SHORT to E_PAY_LIMIT in this order.
        """
        if len(payload) < MIN_SIZE:
            found, right = f"0x{len(payload):x} bytes", f"at least 0x{MIN_SIZE:x}"
            raise OperandError(_R.PAY_SHORT, "payload", offset, found, right)
        fields = _HEADER.unpack_from(payload)
        _check(fields, offset, len(payload))
        return cls(
            payload_size=fields[3],
            block_count=fields[4],
            clear_integrity=bool(fields[5]),
            svm_id=fields[8],
            build_nonce=fields[9],
        )

    def to_bytes(self) -> bytes:
        """64 bytes; `OperandError` for counts and sizes out of bounds."""
        for field, value in (("svm_id", self.svm_id), ("nonce", self.build_nonce)):
            check_number(_R.PAY_LIMIT, f"size of {field}", 24, len(value), 16)
        _check_limits(self.block_count, int(self.clear_integrity), 0, self.payload_size)
        return _HEADER.pack(
            MAGIC,
            VERSION,
            HEADER_SIZE,
            self.payload_size,
            self.block_count,
            int(self.clear_integrity),
            _ONLY_ONES,
            bytes(4),
            self.svm_id,
            self.build_nonce,
            bytes(8),
        )

    @property
    def first_block(self) -> int:
        """Where in the payload the table ends."""
        return HEADER_SIZE + ENTRY_SIZE * self.block_count


def _check(fields: tuple[Any, ...], at: int, size: int) -> None:
    magic, version, header_size, payload_size, count, flags = fields[:6]
    algorithms, first_reserved, *_, reserved = fields[6:]
    if magic != MAGIC:
        raise OperandError(_R.PAY_MAGIC, "payload magic", at, magic.hex(), MAGIC.hex())
    check_number(_R.PAY_VERSION, "payload version", at + 4, version, VERSION)
    header = _R.PAY_HEADER
    check_number(header, "payload header_size", at + 6, header_size, HEADER_SIZE)
    check_number(header, "payload_size", at + 8, payload_size, size)
    check_zero(header, "payload reserved", at + 20, first_reserved)
    check_zero(header, "payload reserved", at + 56, reserved)
    for index, field in enumerate(ALGORITHMS):
        check_number(_R.ALG, field, at + 16 + index, algorithms[index], 1)
    _check_limits(count, flags, at, size)


def _check_limits(count: int, flags: int, at: int, size: int) -> None:
    limit = _R.PAY_LIMIT
    check_range(limit, "block_count", at + 12, count, range(1, MAX_BLOCK_COUNT + 1))
    check_range(limit, "payload flags", at + 14, flags, range(2))
    room = range(size - MAC_SIZE + 1)
    end = HEADER_SIZE + ENTRY_SIZE * count
    check_range(limit, "end of the table", at + 12, end, room)
