"""Commands to the TPM, and what follows when it fails (boot-chain.md 3.3, 3.4)."""

from __future__ import annotations

from typing import Final

from pefstack.firmware.profiles import POLICY_PCR, profile_of
from pefstack.firmware.stage import BootFailure, Refusal
from pefstack.firmware.status import lose_tpm, tpm_is_lost
from pefstack.firmware.tpm_steps import STEPS, is_recorded
from pefstack.hw.board import Board
from pefstack.hw.errors import DeviceError
from pefstack.hw.tpm import client
from pefstack.images.errors import FormatError

Step = tuple[str, int]  # a subject, or what is asked of the TPM, and a PCR
_REQUIRED_BY: Final = "hostboot_ext"  # where Hostboot's trusted boot starts
_MEND: Final = "look at the response code; a machine's TPM can be set under machine.tpm"
_NEEDED: Final = "mend the TPM, or set machine.tpm.required to false and go without"


def tpm(board: Board, stage: str, command: bytes, step: Step) -> bytes | None:
    """The body of the TPM's answer; None when it failed and the boot goes on."""
    board.begin_step(step_code(board, stage, step))
    try:
        return client.response(board.tpm.execute(command))
    except (DeviceError, FormatError) as refused:
        give_up(board, stage, step, str(refused))
        return None


def step_code(board: Board, stage: str, step: Step) -> int:
    """The code of a step; 0 for one that has none."""
    what, pcr = step
    if pcr == board.spec.measure.pcr:
        pcr = POLICY_PCR
    return STEPS.get((stage, what, pcr), 0)


def give_up(board: Board, stage: str, step: Step, reason: str) -> None:
    """A TPM that fails is lost; without the primary's some machines do not boot.

    The SBE records the step. Of a backup TPM no boot depends.
    """
    if profile_of(board.spec.measure).table.needs_tpm and not board.number:
        text = f"no TPM to measure with: {reason}"
        raise BootFailure(stage, Refusal.TPM_REFUSED, text, _MEND)
    code = step_code(board, stage, step)
    lose_tpm(board, stage, code if is_recorded(stage, step[0]) else 0, reason)
    require_tpm(board, stage)


def require_tpm(board: Board, stage: str) -> None:
    """Hostboot: with security on and a TPM required, no boot without the primary's.

    A backup TPM is no help: it was poisoned.
    """
    if stage != _REQUIRED_BY or board.number or not board.spec.tpm.required:
        return
    if board.chip.secure and tpm_is_lost(board):
        reason = "found no TPM that works, expected the primary's: one is required"
        raise BootFailure(stage, Refusal.TPM_REQUIRED, reason, _NEEDED)
