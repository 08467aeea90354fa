"""UV_ESM, steps 14 and 15: find operand or blob, and copy it (esm.md 1.6, 2.1, 5.8)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from pefstack.firmware.ultravisor.effects import Effect, ReadGuest
from pefstack.firmware.ultravisor.esm_lookup import check_apart, held, node, number
from pefstack.firmware.ultravisor.esm_refusal import EsmError, EsmRefusal
from pefstack.firmware.ultravisor.esm_state import EsmState, Extent, Phase, page_in
from pefstack.images.errors import FormatError
from pefstack.images.esm_blob import EsmBlob
from pefstack.images.esm_operand import EsmOperand
from pefstack.images.initramfs import (
    MAGICS,
    OPERAND_MAGIC,
    BlobPlace,
    NameRule,
    find_blob,
)

FIRST_LOOK: Final = 8 << 20  # of a larger initramfs, before all of it is looked at
MAX_BLOB: Final = 4 << 20  # no device tree is larger
_MAGIC_SIZE: Final = 4
_START, _END = "linux,esm-blob-start", "linux,esm-blob-end"
_R: Final = EsmRefusal


def in_zimage(state: EsmState) -> bool:
    """Whether the tree says where the blob is; then the initramfs is not searched."""
    chosen = node(state, "/chosen")
    return chosen.get(_START) is not None and chosen.get(_END) is not None


def _with_place(state: EsmState) -> EsmState:
    """The place that the tree names.

    A boot wrapper of a little-endian kernel writes both numbers in its own byte order:
    tried where the right order leaves the memory (real-guest.md). There is no way back
    to the initramfs.
    """
    if not in_zimage(state):
        return state
    start = number(state, _R.OPERAND_PLACE, "/chosen", _START)
    end = number(state, _R.OPERAND_PLACE, "/chosen", _END)
    size = len(node(state, "/chosen").value(_START))
    if not _inside(state, start, end):
        start, end = _swapped(start, size), _swapped(end, size)
    if not _inside(state, start, end):
        found = f"0x{start:x} to 0x{end:x}"
        right = f"a range in memory, 0x{MAX_BLOB:x} bytes at most"
        raise EsmError(_R.OPERAND_PLACE, "/chosen operand", 0, found, right)
    place = Extent(start, end - start)
    check_apart(state, _R.OPERAND_PLACE, "operand", place)
    return replace(state, place=place)


def _inside(state: EsmState, start: int, end: int) -> bool:
    room = end - start
    return _MAGIC_SIZE <= room <= MAX_BLOB and start > 0 and end <= state.memory


def _swapped(value: int, size: int) -> int:
    return int.from_bytes(value.to_bytes(8, "big")[8 - size :], "little")


def _ask_archive(state: EsmState) -> ReadGuest | None:
    if state.place.size:
        return None
    return ReadGuest(state.initrd.start, min(state.initrd.size, FIRST_LOOK))


def _take_archive(state: EsmState, answer: bytes) -> EsmState | tuple[EsmState, Effect]:
    """What is found in the first part alone counts; else all of it is looked at."""
    whole = len(answer) == state.initrd.size
    held(answer, "initrd", state.initrd.size if whole else FIRST_LOOK)
    try:
        place = _found(state, answer)
    except FormatError:
        if whole:
            raise
        place = None
    if place is None or not (whole or place.archive_size):
        return state, ReadGuest(state.initrd.start, state.initrd.size)
    extent = Extent(state.initrd.start + place.offset, place.room)
    return replace(state, place=extent, archive_size=place.archive_size)


def _found(state: EsmState, initrd: bytes) -> BlobPlace:
    rule = NameRule.STRICT if state.strict else NameRule.REAL
    try:
        return find_blob(initrd, address=state.initrd.start, rule=rule)
    except FormatError as wrong:
        what = f"initrd: {wrong.field}", wrong.offset
        raise EsmError(_R.NO_OPERAND, *what, wrong.found, wrong.expected) from None


def _ask_copy(state: EsmState) -> ReadGuest:
    """All that may belong to it: it says itself how long it is."""
    return ReadGuest(state.place.start, min(state.place.size, MAX_BLOB))


def _take_copy(state: EsmState, answer: bytes) -> EsmState:
    """What was copied is what is checked and later served."""
    raw = held(answer, "operand", min(state.place.size, MAX_BLOB))
    if raw[:_MAGIC_SIZE] == OPERAND_MAGIC:
        return replace(state, operand=EsmOperand.from_bytes(raw))
    if raw[:_MAGIC_SIZE] not in MAGICS:
        found = raw[:_MAGIC_SIZE].hex()
        right = " or ".join(each.hex() for each in MAGICS)
        raise EsmError(_R.OPERAND_PLACE, "magic", state.place.start, found, right)
    blob, _ = EsmBlob.from_prefix(raw, state.caller.profile)
    return replace(state, blob=blob)


PHASES: Final[dict[int, tuple[Phase, ...]]] = {
    14: (
        Phase(settle=_with_place),
        page_in(lambda state: state.place.pages),
        Phase(ask=_ask_archive, take=_take_archive),
    ),
    15: (Phase(ask=_ask_copy, take=_take_copy),),
}
