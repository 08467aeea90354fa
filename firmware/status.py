"""What the SBE leaves in scratch register 11, and the TPM that was given up.

Byte 0 is reserved, 1 the TPM's step code, 2 the status of HBBL, 3 that of the SBE
firmware (boot-chain.md 1.4, 3.3); they stand in the high word of the register.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from pefstack.hw.board import Board
from pefstack.hw.chip import SCRATCH_11, SECURITY_SWITCH, SWITCH_TDP, Chip


class StatusByte(IntEnum):
    """Bytes of the register, from its most significant one."""

    TPM = 1
    HBBL = 2
    SBE_FW = 3


_WIDTH: Final = 64


def set_status(board: Board, byte: StatusByte, status: int) -> None:
    """Write one byte of scratch register 11; 0 is good."""
    shift = _WIDTH - 8 * (byte + 1)
    word = board.chip.get_scom(SCRATCH_11)
    board.chip.put_scom(SCRATCH_11, word & ~(0xFF << shift) | status << shift)


def get_status(chip: Chip, byte: StatusByte) -> int:
    """Read one byte of a chip's scratch register 11."""
    return chip.get_scom(SCRATCH_11) >> _WIDTH - 8 * (byte + 1) & 0xFF


def lose_tpm(board: Board, stage: str, step: int, reason: str) -> None:
    """Give the TPM up: deconfigured in the switch register, the step in scratch 11."""
    board.chip.put_scom(SECURITY_SWITCH, SWITCH_TDP)
    if step:
        set_status(board, StatusByte.TPM, step)
    board.journal.add(stage, "tpm-lost", step=step, reason=reason)


def tpm_is_lost(board: Board) -> bool:
    """Whether this boot goes on without its TPM."""
    return bool(board.chip.get_scom(SECURITY_SWITCH) & SWITCH_TDP)
