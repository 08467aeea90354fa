"""Verify a container in the name of a stage: record the verdict, enforce it or not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pefstack.firmware.stage import BootFailure, Refusal
from pefstack.firmware.status import StatusByte, set_status
from pefstack.hw.board import Board
from pefstack.images.container_verify import Verified
from pefstack.images.rejection import LOG_GOOD, VerificationError

Verify = Callable[[], Verified]

# what the SBE verifies -> where it leaves the verdict
_STATUS: Final = {"HBBL": StatusByte.HBBL, "SBE_FW": StatusByte.SBE_FW}


def accept(
    board: Board, stage: str, code: str, verify: Verify, *, secure: bool
) -> Verified | None:
    """Run a verification now and write its verdict into the journal.

    ``code`` names what is verified. With security on a rejection ends the boot, unless
    the machine's policy has this stage record it and go on; then, and with security
    off, the answer is None.
    """
    try:
        verified = verify()
    except VerificationError as rejected:
        record(board, stage, code, rejected.log, str(rejected))
        if _records(stage, code):
            set_status(board, _STATUS[code], rejected.rejection)
        if secure and _policy_enforces(board, stage, code):
            raise _failure(stage, code, rejected) from rejected
        return None
    record(board, stage, code, LOG_GOOD, "good")
    return verified


def _records(stage: str, code: str) -> bool:
    """Whether this is one of the SBE's own two verdicts; HBBL lies in flash, too."""
    return stage.startswith("sbe_") and code in _STATUS


def _policy_enforces(board: Board, stage: str, code: str) -> bool:
    """The SBE only records under the policy ``record``, everybody under the last."""
    policy = board.spec.verify.policy
    lenient = policy == "record" and _records(stage, code)
    return policy != "record-only" and not lenient


def enforces(board: Board, stage: str, code: str) -> bool:
    """Whether a rejection of this code ends the boot: security on, and the policy."""
    return board.chip.secure and _policy_enforces(board, stage, code)


def record(board: Board, stage: str, code: str, log: int, verdict: str) -> None:
    """Write a verdict into the journal."""
    board.journal.add(
        stage,
        "verify",
        code=code,
        good=int(log == LOG_GOOD),
        log=f"0x{log:016x}",
        verdict=verdict,
    )


def _failure(stage: str, code: str, rejected: VerificationError) -> BootFailure:
    reason = f"{code}: {rejected}"
    refusal = Refusal.CONTAINER_REJECTED
    return BootFailure(stage, refusal, reason, rejected.mend, rejected.log)
