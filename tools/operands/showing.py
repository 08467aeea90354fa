"""What people and programs are shown of a slot; nothing in it is secret."""

from __future__ import annotations

from pefstack.images.esm_operand_slot import KIND_WORDS, Slot


def slot_plain(slot: Slot) -> dict[str, str]:
    """Kind, state (free or sealed) and machine; "any" is any machine, "" none."""
    machine = slot.machine_id.hex() if any(slot.machine_id) else "any"
    return {
        "kind": KIND_WORDS[slot.kind],
        "state": "sealed" if slot.kind else "free",
        "machine_id": machine if slot.kind else "",
    }


def slot_line(slot: Slot) -> str:
    """The same on one line."""
    plain = slot_plain(slot)
    machine = plain["machine_id"] and f"machine {plain['machine_id']}"
    return f"{plain['kind']:<17} {plain['state']:<7} {machine}".rstrip()
