"""Start the TPM as the SBE does: find it, Startup, then its banks (3.2, 3.3)."""

from __future__ import annotations

from typing import Final

from pefstack.firmware.poison import poison
from pefstack.firmware.profiles import profile_of
from pefstack.firmware.status import tpm_is_lost
from pefstack.firmware.tpm_access import give_up, step_code, tpm
from pefstack.hw.board import Board
from pefstack.hw.chip import SECURITY_SWITCH, SWITCH_TDP
from pefstack.hw.processor import Role
from pefstack.hw.tpm import client
from pefstack.hw.tpm.codes import PCR_COUNT, TpmAlgId, TpmCap, TpmSu
from pefstack.hw.tpm.foreign import ForeignTpm
from pefstack.hw.tpm.interface import ID_SIZE
from pefstack.images.errors import FormatError

WANTED: Final[dict[int, tuple[int, ...]]] = {
    TpmAlgId.SHA1: (),
    TpmAlgId.SHA256: tuple(range(PCR_COUNT)),
    TpmAlgId.SHA384: (),
}
LOCALITY: Final = 0
_NO_VENDORS: Final = (b"\0\0", b"\xff\xff")  # nobody drives the bus, either way


def start_tpm(board: Board, stage: str) -> None:
    """Find the TPM, take its locality 0, Startup(CLEAR); the SBE sees to its banks.

    A secondary chip has none: it deconfigures it. The alternate master poisons its
    own, so that it never has the values of a boot. A TPM that was on before the board
    was started by others, and keeps its allocation. One that was given up before a
    memory-preserving IPL is not asked: the switch register still says so.
    """
    if board.role is Role.SECONDARY:
        board.chip.put_scom(SECURITY_SWITCH, SWITCH_TDP)
        return
    if tpm_is_lost(board):
        reason = "given up before this memory-preserving IPL"
        board.journal.add(stage, "tpm-lost", step=0, reason=reason)
        return
    if not _found(board, stage) or _is_running(board):
        return
    started = tpm(board, stage, client.startup(TpmSu.CLEAR), ("startup", 0))
    if started is not None and profile_of(board.spec.measure).table.sbe_measures:
        _see_to_banks(board, stage)
    if board.role is Role.ALTERNATE and not tpm_is_lost(board):
        poison(board, stage)


def _is_running(board: Board) -> bool:
    return isinstance(board.tpm, ForeignTpm) and board.tpm.always_on


def _found(board: Board, stage: str) -> bool:
    """A vendor answers, and grants the locality.

    The published SBE looks at the transfer alone; here that is what it carries.
    """
    board.begin_step(step_code(board, stage, ("read-id", 0)))
    found = board.tpm.read_id()
    if len(found) != ID_SIZE or found[:2] in _NO_VENDORS:
        reason = f"TPM_DID_VID: found {found.hex()}, expected a vendor's id"
        give_up(board, stage, ("read-id", 0), reason)
        return False
    board.begin_step(step_code(board, stage, ("locality", 0)))
    if not board.tpm.request_locality(LOCALITY):
        reason = f"TPM_ACCESS: found no grant, expected locality {LOCALITY}"
        give_up(board, stage, ("locality", 0), reason)
        return False
    return True


def _see_to_banks(board: Board, stage: str) -> None:
    """Ask for SHA-256 alone where the allocation is another.

    The answer of GetCapability is compared as a whole. A new allocation is in force
    from the TPM's next reset on; the SBE goes on without one.
    """
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
