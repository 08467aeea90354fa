"""A machine authorised in a finished image, moved, or taken out; nothing else changes.

What is sealed is never asked for here: a slot is made elsewhere (esm.md 5.2).
"""

from __future__ import annotations

from dataclasses import dataclass

from pefstack.images.codec import Buffer
from pefstack.images.esm_operand import EsmOperand
from pefstack.images.esm_operand_edit import insert_slot, put_slot, remove_slot
from pefstack.images.esm_operand_keys import SealedData
from pefstack.images.esm_operand_open import open_operand
from pefstack.images.esm_operand_slot import Slot
from pefstack.images.esm_refusal import OperandError, OperandRefusal
from pefstack.tools.errors import UsageError
from pefstack.tools.esm_place import changed_image, find_esm, operand_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """One slot of an operand: its number, or its machine's id or the start of that."""

    number: int | None = None
    machine: str = ""


def operand_in(image: Buffer) -> EsmOperand:
    """The operand of an image; errors as `find_esm` and `operand_at`."""
    return operand_at(image, find_esm(image))


def check_seed(image: Buffer, sealed: SealedData) -> None:
    """Refuse sealed data that this image would not start with.

    Raises `UsageError` for another seed (E_MAC) and for a floor above the image's
    version (E_ROLLBACK), and what `operand_in` does.
    """
    try:
        open_operand(operand_in(image), sealed.to_bytes())
    except OperandError as error:
        if error.refusal is OperandRefusal.MAC:
            raise UsageError("seed: not the one of this operand (E_MAC)") from None
        if error.refusal is OperandRefusal.ROLLBACK:
            text = f"found {error.found}, expected {error.expected} (E_ROLLBACK)"
            raise UsageError(f"security version of this image: {text}") from None
        raise


def add_slot(image: Buffer, slot: Slot) -> tuple[bytes, int]:
    """The image with the slot in place of the first placeholder, and its number.

    Raises `UsageError` without a placeholder, and for a machine that has a slot of
    this kind.
    """
    slots = operand_in(image).slots
    if slot.owner is not None and slot.owner in (owners := [s.owner for s in slots]):
        number = owners.index(slot.owner)
        mend = "`pef esm replace` puts another there"
        raise UsageError(f"machine {slot.machine_id.hex()}: has slot {number}; {mend}")
    free = next((number for number, each in enumerate(slots) if not each.kind), None)
    if free is None:
        mend = "`pef esm remove` one, or build with more --slots"
        raise UsageError(f"no placeholder among {len(slots)} slots; {mend}")
    return changed_image(image, lambda raw: insert_slot(raw, slot)), free


def replace_slot(image: Buffer, slot: Slot, chosen: Chosen) -> tuple[bytes, int]:
    """The image with the slot in place of the chosen one, and the number of that.

    Errors as `chosen_number`; `OperandError` E_SLOT_DUP for a machine that has another.
    """
    number = chosen_number(operand_in(image), chosen)
    return changed_image(image, lambda raw: put_slot(raw, number, slot)), number


def remove_chosen(image: Buffer, chosen: Chosen) -> tuple[bytes, int]:
    """The image with a placeholder instead of the chosen slot, and its number."""
    number = chosen_number(operand_in(image), chosen)
    return changed_image(image, lambda raw: remove_slot(raw, number)), number


def chosen_number(operand: EsmOperand, chosen: Chosen) -> int:
    """Which slot is meant; `UsageError` when none is, several are, or it is free."""
    if chosen.number is not None:
        return _used(operand, chosen.number)
    start = chosen.machine.lower()
    found = [
        number
        for number, slot in enumerate(operand.slots)
        if any(slot.machine_id) and slot.machine_id.hex().startswith(start)
    ]
    if len(found) != 1:
        text = f"{len(found)} slots for machine {start or '(none)'}, expected one"
        raise UsageError(f"{text}; `pef esm list` shows them, --number names one")
    return found[0]


def _used(operand: EsmOperand, number: int) -> int:
    count = len(operand.slots)
    if not 0 <= number < count:
        raise UsageError(f"slot: found {number}, expected 0 to {count - 1}")
    if not operand.slots[number].kind:
        raise UsageError(f"slot {number}: a placeholder; `pef esm add` fills it")
    return number
