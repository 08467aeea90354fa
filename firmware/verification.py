"""Verify a container in the name of a stage: record the verdict, enforce it or not."""

from __future__ import annotations

from collections.abc import Callable

from pefstack.firmware.stage import BootFailure, Refusal
from pefstack.hw.board import Board
from pefstack.images.container_verify import Verified
from pefstack.images.rejection import LOG_GOOD, VerificationError

Verify = Callable[[], Verified]


def accept(
    board: Board, stage: str, code: str, verify: Verify, *, enforced: bool
) -> Verified | None:
    """Run a verification now and write its verdict into the journal.

    ``code`` names what is verified. A rejection ends the boot where verification is
    ``enforced``; elsewhere it is recorded and the answer is None.
    """
    try:
        verified = verify()
    except VerificationError as rejected:
        _record(board, stage, code, rejected.log, str(rejected))
        if enforced:
            raise _failure(stage, code, rejected) from rejected
        return None
    _record(board, stage, code, LOG_GOOD, "good")
    return verified


def _record(board: Board, stage: str, code: str, log: int, verdict: str) -> None:
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
