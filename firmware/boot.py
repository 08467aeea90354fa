"""Run the chain: power on, then one stage after the other until one is the last."""

from __future__ import annotations

from typing import Final

from pefstack.firmware import (
    hostboot_ext,
    hostboot_init,
    hostboot_loader,
    opal,
    sbe_immutable,
    sbe_mutable,
)
from pefstack.firmware.profiles import profile_of
from pefstack.firmware.stage import BootFailure, Shutdown, Stage, stage_name
from pefstack.hw.board import Board
from pefstack.hw.tpm.foreign import ForeignTpm

FIRST: Final[Stage] = sbe_immutable.run
FIRMWARE: Final[tuple[str, ...]] = tuple(
    each.STAGE
    for each in (
        sbe_immutable,
        sbe_mutable,
        hostboot_loader,
        hostboot_init,
        hostboot_ext,
        opal,
    )
)
# after them, on a machine that has a guest; their modules are loaded when they run
STAGES: Final = (*FIRMWARE, "ultravisor", "hypervisor", "guest")
# the code that runs in a stage, by the name under which it is verified and measured
CODE: Final = {
    "sbe_mutable": "SBE_FW",
    "hostboot_loader": "HBBL",
    "hostboot_init": "HBB",
    "hostboot_ext": "HBI",
    "opal": "PAYLOAD",
    "ultravisor": "UVISOR",
    "hypervisor": "BOOTKERNEL",
}


def power_on(board: Board) -> Stage:
    """Switch the machine on, or start the IPL of one that was reset; the first stage.

    ``sab`` is the secure access bit as the hardware leaves it to the SBE.
    """
    profile = profile_of(board.spec.measure)
    backup, foreign = board.spec.backup_tpm, _whose_tpm(board)
    board.journal.add(
        "machine",
        "power-on",
        machine=board.name,
        profile=profile.name,
        policy_pcr=profile.policy_pcr,
        smd=int(board.chip.smd),
        sab=int(board.chip.secure),
        mpipl=int(board.chip.memory_preserving),
        pef=int(board.chip.pef_enable),
        policy=board.spec.verify.policy,
        banks="" if foreign else ",".join(board.spec.tpm.allocated),
        backup_banks=",".join(backup.allocated) if backup else "",
        **foreign,
    )
    board.power_on()
    return FIRST


def _whose_tpm(board: Board) -> dict[str, str]:
    """Said only of a TPM that is not the model: it writes nothing in the journal."""
    if not isinstance(board.tpm, ForeignTpm):
        return {}
    return {"tpm": "foreign-running" if board.tpm.always_on else "foreign"}


def step(board: Board, stage: Stage) -> Stage | None:
    """Run one stage; the next one, or None after the last and after a shutdown.

    Raises `BootFailure`.
    """
    name = stage_name(stage)
    board.journal.add(name, "start")
    try:
        following = stage(board)
    except BootFailure as failure:
        _record(board, failure)
        raise
    if isinstance(following, Shutdown):
        board.journal.add(name, "shutdown", reason=following.reason)
        return None
    if following is None:
        board.journal.add(name, "boot-complete")
    else:
        _hand_over(board, name, stage_name(following))
    return following


def _hand_over(board: Board, name: str, to: str) -> None:
    """Firmware hands over to code that it verified; a guest is only started."""
    if to in CODE:
        board.journal.add(name, "hand-over", to=to, code=CODE[to])
    else:
        board.journal.add(name, "starts", to=to)


def _record(board: Board, failure: BootFailure) -> None:
    board.journal.add(
        failure.stage,
        "boot-failure",
        refusal=str(failure.refusal),
        reason=failure.reason,
        mend=failure.mend,
        log=f"0x{failure.log:016x}" if failure.log else "",
    )
