"""UV_REGISTER_MEM_SLOT and UV_UNREGISTER_MEM_SLOT (esm.md 3.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pefstack.firmware.ultravisor.codes import PAGE_SIZE, UvStatus
from pefstack.firmware.ultravisor.release import release_page
from pefstack.firmware.ultravisor.svm import MAX_SLOTS, MemorySlot, SvmState
from pefstack.hw.cpu import WORD_MASK

if TYPE_CHECKING:
    from pefstack.firmware.ultravisor.ultravisor import Ultravisor


def register(
    uv: Ultravisor, lpid: int, start: int, size: int, _flags: int, slot_id: int
) -> tuple[int, ...]:
    """Guest memory that the hypervisor has for a VM; U_PARAMETER for what is no slot.

    Flags are not looked at, as in the published code.
    """
    svm = uv.svms.get(lpid)
    if svm is None or svm.state is SvmState.ABORT or not uv.secure.free_pages:
        return (UvStatus.PARAMETER,)
    if start % PAGE_SIZE or start + size > WORD_MASK or slot_id >= MAX_SLOTS:
        return (UvStatus.PARAMETER,)
    others = svm.slots.values()
    if slot_id in svm.slots or any(
        start < each.start + each.size and each.start < start + size for each in others
    ):
        return (UvStatus.PARAMETER,)
    svm.slots[slot_id] = MemorySlot(start, size)
    return (UvStatus.SUCCESS,)


def unregister(uv: Ultravisor, lpid: int, slot_id: int) -> tuple[int, ...]:
    """Take a slot back: its pages are wiped, and lost for good.

    A new slot does not bring them back: what was measured would be replaced.
    """
    svm = uv.svms.get(lpid)
    slot = svm.slots.pop(slot_id, None) if svm else None
    if svm is None or slot is None:
        return (UvStatus.SUCCESS,)
    there = [gfn for gfn in svm.pages if gfn in slot.pages]
    for gfn in there:
        release_page(uv, svm, gfn)
    svm.lost.update(there)
    return (UvStatus.SUCCESS,)
