"""Room in a guest's memory for what the ultravisor shares with the hypervisor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pefstack.firmware.ultravisor.codes import PAGE_SIZE
from pefstack.firmware.ultravisor.esm_refusal import EsmError, EsmRefusal
from pefstack.firmware.ultravisor.esm_state import Extent


def reserved(
    top: int, taken: Sequence[Extent], wanted: Mapping[str, int]
) -> dict[str, Extent]:
    """Places for so many pages each, downwards from ``top``, clear of what is taken.

    Raises `EsmError` RESERVE when there is no room.
    """
    found: dict[str, Extent] = {}
    blocked = sorted(taken, key=lambda each: each.end, reverse=True)
    for name, pages in wanted.items():
        place = _highest(top, pages * PAGE_SIZE, blocked)
        if place is None:
            right = f"0x{pages:x} pages below 0x{top:x}"
            raise EsmError(EsmRefusal.RESERVE, name, top, "no room", right)
        found[name] = place
        top = place.start
    return found


def _highest(top: int, size: int, blocked: Sequence[Extent]) -> Extent | None:
    """The highest place that ends at ``top`` or below."""
    start = (top - size) // PAGE_SIZE * PAGE_SIZE
    for each in blocked:
        if start > 0 and Extent(start, size).meets(each):
            start = (each.start - size) // PAGE_SIZE * PAGE_SIZE
    return Extent(start, size) if start > 0 else None
