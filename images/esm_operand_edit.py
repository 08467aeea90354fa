"""ESM operand: sealed data put into a finished one, and taken out (esm.md 5.2).

Only the bytes of one slot change, so an operand can be edited inside its image.
"""

from __future__ import annotations

from pefstack.images.codec import Buffer
from pefstack.images.esm_operand import HEADER_SIZE, EsmOperand
from pefstack.images.esm_operand_slot import SLOT_SIZE, Slot
from pefstack.images.esm_refusal import OperandError, OperandRefusal, check_range

_LIMIT = OperandRefusal.LIMIT


def slot_range(index: int) -> range:
    """Where in an operand this slot lies."""
    start = HEADER_SIZE + SLOT_SIZE * index
    return range(start, start + SLOT_SIZE)


def insert_slot(raw: Buffer, slot: Slot) -> bytes:
    """The operand with ``slot`` in place of its first placeholder.

    Raises `OperandError`: E_LIMIT without a placeholder, E_SLOT_DUP when the machine
    has a slot of this kind, and what `EsmOperand.from_prefix` refuses.
    """
    operand, _ = EsmOperand.from_prefix(raw)
    free = (index for index, each in enumerate(operand.slots) if not each.kind)
    index = next(free, None)
    if index is None:
        found = f"0x{len(operand.slots):x} slots in use"
        right = "a placeholder; build with more slots, or remove one"
        raise OperandError(_LIMIT, "slots", HEADER_SIZE, found, right)
    return put_slot(raw, index, slot)


def replace_slot(raw: Buffer, slot: Slot) -> bytes:
    """The operand with ``slot`` in place of that of the same machine and kind.

    Raises `OperandError`: E_NO_SLOT when there is none, also for a slot for any
    machine, and what `EsmOperand.from_prefix` refuses.
    """
    operand, _ = EsmOperand.from_prefix(raw)
    owners = [each.owner for each in operand.slots]
    if slot.owner is None or slot.owner not in owners:
        found = f"none for machine {slot.machine_id.hex()}"
        refusal = OperandRefusal.NO_SLOT
        raise OperandError(refusal, "slots", HEADER_SIZE, found, "one of this kind")
    return put_slot(raw, owners.index(slot.owner), slot)


def remove_slot(raw: Buffer, index: int) -> bytes:
    """The operand with a placeholder at ``index``; errors as `put_slot`."""
    return put_slot(raw, index, Slot())


def put_slot(raw: Buffer, index: int, slot: Slot) -> bytes:
    """The operand with another slot at ``index``, and all other bytes as they were.

    Bytes behind the operand stay too. Raises `OperandError`: E_LIMIT when there is no
    such slot, and what `EsmOperand.from_prefix` refuses, before the change or after.
    """
    operand, _ = EsmOperand.from_prefix(raw)
    check_range(_LIMIT, "slot", HEADER_SIZE, index, range(len(operand.slots)))
    place = slot_range(index)
    changed = bytearray(raw)
    changed[place.start : place.stop] = slot.to_bytes()
    EsmOperand.from_prefix(changed)
    return bytes(changed)
