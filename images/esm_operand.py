"""ESM operand, version 2: header, slots, payload; what needs no key (esm.md 5)."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pefstack.images.codec import Buffer
from pefstack.images.esm_operand_payload import PayloadHeader
from pefstack.images.esm_operand_slot import (
    MAX_SLOT_COUNT,
    SLOT_SIZE,
    Slot,
    read_slots,
)
from pefstack.images.esm_refusal import (
    OperandError,
    OperandRefusal,
    check_number,
    check_range,
    check_zero,
)

MAGIC: Final = b"ESMO"
VERSION: Final = 2
HEADER_SIZE: Final = 32
MAX_TOTAL_SIZE: Final = 1 << 20

_HEADER: Final = struct.Struct(">4sHHIIIHH8s")
_R: Final = OperandRefusal


@dataclass(frozen=True, slots=True, kw_only=True)
class EsmOperand:
    """An operand whose payload is not opened; ``payload`` has the HMAC at its end."""

    slots: tuple[Slot, ...]
    payload: bytes

    @classmethod
    def from_prefix(cls, raw: Buffer) -> tuple[EsmOperand, int]:
        """The operand at the start of ``raw``, and its size.

        Raises `OperandError`: E_SHORT to E_PAY_LIMIT but for E_TRAILING, in the order
        of esm.md 5.7.
        """
        header = _read_header(raw)
        return cls._rest(bytes(raw[: header.total_size]), header), header.total_size

    @classmethod
    def from_bytes(cls, raw: Buffer) -> EsmOperand:
        """An operand, and nothing but zero bytes behind it (E_TRAILING)."""
        header = _read_header(raw)
        total = header.total_size
        check_zero(_R.TRAILING, "end", total, bytes(raw[total:]))
        return cls._rest(bytes(raw[:total]), header)

    @classmethod
    def _rest(cls, raw: bytes, header: _Header) -> EsmOperand:
        slots = tuple(read_slots(raw, HEADER_SIZE, header.slot_count))
        payload = raw[header.payload_off :]
        PayloadHeader.from_prefix(payload, header.payload_off)
        return cls(slots=slots, payload=payload)

    def to_bytes(self) -> bytes:
        """The bytes; `OperandError` for what `from_bytes` refuses."""
        count = len(self.slots)
        check_range(_R.LIMIT, "slot_count", 20, count, range(1, MAX_SLOT_COUNT + 1))
        start = HEADER_SIZE + SLOT_SIZE * count
        total, size = start + len(self.payload), len(self.payload)
        check_range(_R.LIMIT, "total_size", 8, total, range(MAX_TOTAL_SIZE + 1))
        numbers = (VERSION, HEADER_SIZE, total, start, size, count, SLOT_SIZE)
        header = _HEADER.pack(MAGIC, *numbers, bytes(8))
        raw = header + b"".join(slot.to_bytes() for slot in self.slots) + self.payload
        EsmOperand.from_bytes(raw)
        return raw

    def candidates(self, machine_ids: Mapping[int, bytes]) -> tuple[int, ...]:
        """The slots that a machine may try, in their order; the first that opens wins.

        ``machine_ids`` has, by kind of slot, the digest of the Name of the machine's
        key. Raises `OperandError` E_NO_SLOT when there is none.
        """
        found = tuple(
            index
            for index, slot in enumerate(self.slots)
            if any(slot.fits(*each) for each in machine_ids.items())
        )
        if not found:
            ids = ", ".join({each.hex(): 0 for each in machine_ids.values()})
            right = f"a slot for machine {ids}, or for any"
            raise OperandError(_R.NO_SLOT, "slots", HEADER_SIZE, "none", right)
        return found


@dataclass(frozen=True, slots=True)
class _Header:
    total_size: int
    payload_off: int
    slot_count: int


def _read_header(raw: Buffer) -> _Header:
    if len(raw) < HEADER_SIZE:
        found, right = f"0x{len(raw):x} bytes", f"at least 0x{HEADER_SIZE:x}"
        raise OperandError(_R.SHORT, "header", 0, found, right)
    fields = _HEADER.unpack_from(raw)
    magic, version, header_size, total, _, _, slot_count, slot_size, reserved = fields
    if magic != MAGIC:
        raise OperandError(_R.MAGIC, "magic", 0, magic.hex(), MAGIC.hex())
    check_number(_R.VERSION, "version", 4, version, VERSION)
    check_number(_R.HEADER, "header_size", 6, header_size, HEADER_SIZE)
    check_zero(_R.HEADER, "reserved", 24, reserved)
    check_range(_R.LIMIT, "total_size", 8, total, range(MAX_TOTAL_SIZE + 1))
    check_range(_R.LIMIT, "slot_count", 20, slot_count, range(1, MAX_SLOT_COUNT + 1))
    check_number(_R.LIMIT, "slot_size", 22, slot_size, SLOT_SIZE)
    check_range(_R.SIZE, "total_size", 8, total, range(len(raw) + 1))
    return _laid_out(fields)


def _laid_out(fields: tuple[Any, ...]) -> _Header:
    total, payload_off, payload_size, slot_count = fields[3:7]
    start = HEADER_SIZE + SLOT_SIZE * slot_count
    check_number(_R.LAYOUT, "payload_off", 12, payload_off, start)
    check_number(_R.LAYOUT, "total_size", 8, total, start + payload_size)
    return _Header(total, payload_off, slot_count)
