"""Start the TPM as the SBE does: Startup, then its banks (boot-chain.md 3.2)."""

from __future__ import annotations

from typing import Final

from pefstack.firmware.measure import tpm
from pefstack.firmware.profiles import profile_of
from pefstack.hw.board import Board
from pefstack.hw.tpm import client
from pefstack.hw.tpm.codes import PCR_COUNT, TpmAlgId, TpmCap, TpmSu
from pefstack.hw.tpm.foreign import ForeignTpm
from pefstack.images.errors import FormatError

WANTED: Final[dict[int, tuple[int, ...]]] = {
    TpmAlgId.SHA1: (),
    TpmAlgId.SHA256: tuple(range(PCR_COUNT)),
    TpmAlgId.SHA384: (),
}


def start_tpm(board: Board, stage: str) -> None:
    """Startup(CLEAR); the SBE asks for SHA-256 alone where the allocation is another.

    The answer of GetCapability is compared as a whole. A new allocation is in force
    from the TPM's next reset on; the SBE goes on without one. A TPM that was on before
    the board was started by others, and keeps its allocation.
    """
    if isinstance(board.tpm, ForeignTpm) and board.tpm.always_on:
        return
    started = tpm(board, stage, client.startup(TpmSu.CLEAR), ("startup", 0))
    if started is None or not profile_of(board.spec.measure).table.sbe_measures:
        return
    question = client.get_capability(TpmCap.PCRS, 0, 64)
    body = tpm(board, stage, question, ("detect", 0))
    if body is not None and not _as_wanted(body):
        tpm(board, stage, client.pcr_allocate(WANTED), ("allocate", 0))


def _as_wanted(answer: bytes) -> bool:
    """An answer that is none is another than the wanted one."""
    try:
        return client.allocated_banks(answer) == WANTED
    except FormatError:
        return False
