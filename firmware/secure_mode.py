"""Secure mode: what the SB verification code makes of jumper and lab override (1.5)."""

from __future__ import annotations

from pefstack.hw.board import Board
from pefstack.hw.chip import (
    CBS_CONTROL,
    SAB,
    SCRATCH_3,
    SCRATCH_3_VALID,
    SCRATCH_8,
    SECURITY_OFF_ASKED,
)
from pefstack.images.container import FLAG_LAB_OVERRIDE
from pefstack.images.container_verify import Verified


def decide_secure_mode(board: Board, stage: str, firmware: Verified | None) -> None:
    """Set or clear SAB; ``firmware`` is SBE_FW where it verified, else None.

    A memory-preserving IPL and a jumper that asks for security off leave SAB as it is.
    The override asks for no particular keys: as in the SBE, that production keys never
    sign the flag is a matter of who signs (project decision: no check here either).
    """
    chip = board.chip
    allowed = firmware is not None and bool(firmware.prefix.flags & FLAG_LAB_OVERRIDE)
    decides = not chip.memory_preserving and not chip.smd
    if decides:
        word = chip.get_scom(CBS_CONTROL)
        off = allowed and _off_is_asked_for(board)
        chip.put_scom(CBS_CONTROL, word & ~SAB if off else word | SAB)
    board.journal.add(
        stage,
        "secure-mode",
        secure=int(chip.secure),
        decided=int(decides),
        override=int(allowed),
        scratch_3=f"0x{chip.get_scom(SCRATCH_3) >> 32:08x}",
        scratch_8=f"0x{chip.get_scom(SCRATCH_8) >> 32:08x}",
    )


def _off_is_asked_for(board: Board) -> bool:
    """Scratch 3 bit 6, where scratch 8 says that scratch 3 is valid."""
    valid = board.chip.get_scom(SCRATCH_8) & SCRATCH_3_VALID
    return bool(valid and board.chip.get_scom(SCRATCH_3) & SECURITY_OFF_ASKED)
