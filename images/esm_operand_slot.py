"""ESM operand, sensitive area: slots of sealed data (esm.md 5.2)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pefstack.images.esm_refusal import (
    OperandError,
    OperandRefusal,
    check_number,
    check_range,
    check_zero,
)

SLOT_SIZE: Final = 2048
MAX_SLOT_COUNT: Final = 64
MAX_USED: Final = 2008
ANY_MACHINE: Final = bytes(32)

KIND_PLACEHOLDER: Final = 0
KIND_TPM_IMPORT: Final = 1
KIND_LOCKBOX: Final = 2
KIND_WORDS: Final = {
    KIND_PLACEHOLDER: "placeholder",
    KIND_TPM_IMPORT: "TPM import",
    KIND_LOCKBOX: "RSA-OAEP lockbox",
}

_HEAD: Final = struct.Struct(">HHI32s")
_BODY: Final = _HEAD.size
_SECRET_SIZE: Final = range(256, 513)
_AREA_SIZE: Final = range(1, 301)
# the TPM2B structures of a body, with their bounds
_PARTS: Final = {
    KIND_PLACEHOLDER: (),
    KIND_TPM_IMPORT: (
        ("public", _AREA_SIZE),
        ("duplicate", _AREA_SIZE),
        ("encrypted secret", _SECRET_SIZE),
    ),
    KIND_LOCKBOX: (("encrypted sealed data", _SECRET_SIZE),),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """Sealed data for one machine; without arguments a placeholder.

    ``machine_id`` is the digest of the Name of the key that ``body`` is made for, or
    `ANY_MACHINE`. ``body`` is encrypted, and has no padding here.
    """

    kind: int = KIND_PLACEHOLDER
    machine_id: bytes = ANY_MACHINE
    body: bytes = b""

    @classmethod
    def from_bytes(cls, raw: bytes, offset: int = 0) -> Slot:
        """A slot of 2048 bytes that lies at ``offset`` of the operand.

        Raises `OperandError`, E_SLOT_KIND to E_SLOT_BODY in this order but for
        E_SLOT_DUP.
        """
        slot = cls._unchecked(raw, offset)
        slot.parts(offset)
        return slot

    @classmethod
    def _unchecked(cls, raw: bytes, offset: int) -> Slot:
        """All but the body."""
        if len(raw) != SLOT_SIZE:
            found, right = f"0x{len(raw):x} bytes", f"0x{SLOT_SIZE:x}"
            raise OperandError(OperandRefusal.LIMIT, "slot", offset, found, right)
        kind, flags, used, machine_id = _HEAD.unpack_from(raw)
        if kind not in KIND_WORDS:
            raise OperandError(
                OperandRefusal.SLOT_KIND, "kind", offset, f"0x{kind:x}", "0, 1 or 2"
            )
        check_number(OperandRefusal.SLOT_FLAGS, "slot flags", offset + 2, flags, 0)
        limit = range(MAX_USED + 1 if kind else 1)
        check_range(OperandRefusal.SLOT_USED, "used", offset + 4, used, limit)
        end = _BODY + used
        pad = OperandRefusal.SLOT_PAD
        if not kind:
            check_zero(pad, "machine_id of a placeholder", offset + 8, machine_id)
        check_zero(pad, "slot padding", offset + end, raw[end:])
        return cls(kind=kind, machine_id=machine_id, body=raw[_BODY:end])

    def parts(self, offset: int = 0) -> tuple[bytes, ...]:
        """The contents of the TPM2B structures of the body; else E_SLOT_BODY.

        Of kind 1: public area, duplicate, encrypted secret; of kind 2: one lockbox.
        """
        found, at = [], 0
        for field, sizes in _PARTS[self.kind]:
            start = at + 2
            size = int.from_bytes(self.body[at:start], "big")
            place = offset + _BODY + at
            check_range(OperandRefusal.SLOT_BODY, field, place, size, sizes)
            at = start + size
            found.append(self.body[start:at])
        if at != len(self.body):
            place, size = offset + _BODY, len(self.body)
            check_number(OperandRefusal.SLOT_BODY, "body size", place, size, at)
        return tuple(found)

    def to_bytes(self) -> bytes:
        """2048 bytes; `OperandError` for what `from_bytes` refuses."""
        size = len(self.machine_id)
        check_number(OperandRefusal.LIMIT, "size of machine_id", 8, size, 32)
        check_range(OperandRefusal.SLOT_KIND, "kind", 0, self.kind, range(3))
        used = range(MAX_USED + 1)
        check_range(OperandRefusal.SLOT_USED, "used", 4, len(self.body), used)
        head = _HEAD.pack(self.kind, 0, len(self.body), self.machine_id)
        raw = (head + self.body).ljust(SLOT_SIZE, b"\0")
        Slot.from_bytes(raw)
        return raw

    @property
    def owner(self) -> tuple[int, bytes] | None:
        """Kind and machine, of which an operand has one slot only; None: any number."""
        return (self.kind, self.machine_id) if any(self.machine_id) else None

    def fits(self, kind: int, machine_id: bytes) -> bool:
        """Whether a machine with this key may try the slot."""
        return self.kind == kind and self.machine_id in (machine_id, ANY_MACHINE)


def read_slots(raw: bytes, offset: int, count: int) -> Iterator[Slot]:
    """``count`` slots from an offset of the operand; each check of one before the next.

    Raises `OperandError`: what `Slot.from_bytes` refuses, and E_SLOT_DUP.
    """
    owners = set()
    for at in range(offset, offset + count * SLOT_SIZE, SLOT_SIZE):
        slot = Slot._unchecked(raw[at : at + SLOT_SIZE], at)
        owner = slot.owner
        if owner in owners:
            raise OperandError(
                OperandRefusal.SLOT_DUP,
                "machine_id",
                at + 8,
                f"{slot.machine_id.hex()} again",
                "one slot of a kind for each machine",
            )
        if owner is not None:
            owners.add(owner)
        slot.parts(at)
        yield slot
