"""OPAL's hand-over to the ultravisor: the TPM's keys and passwords (esm.md 4.1)."""

from __future__ import annotations

from typing import Final

from pefstack.firmware.memory_map import UV_TPM_ADDRESS, UV_TPM_SIZE
from pefstack.firmware.profiles import profile_of
from pefstack.firmware.stage import BootFailure, Refusal
from pefstack.firmware.status import tpm_is_lost
from pefstack.firmware.tpm_link import TpmLink
from pefstack.firmware.tpm_prepare import Provision, close_platform, prepare
from pefstack.hw.board import Board
from pefstack.hw.errors import DeviceError
from pefstack.images.errors import FormatError
from pefstack.images.fdt import Fdt
from pefstack.images.uv_tpm import UvTpm

_MEND: Final = (
    "look at the response code; a TPM prepared for another profile or index keeps its "
    "keys: set machine.pef as they were made, or use another TPM"
)


def hand_over_tpm(board: Board, stage: str, *, pef: bool) -> None:
    """Prepare the TPM and leave the tree for the ultravisor; after the last extend.

    Without PEF there is no ultravisor: only the platform hierarchy is closed. A TPM
    that was given up is not asked.
    """
    spec = board.spec.pef
    if tpm_is_lost(board):
        return
    link = TpmLink(board.tpm, board.entropy)
    how = Provision(
        profile=spec.provision,
        nv_index=spec.nv_index,
        pcr=profile_of(board.spec.measure).policy_pcr,
    )
    try:
        if not pef:
            close_platform(link)
            board.journal.add(stage, "platform-closed")
            return
        machine = prepare(link, how)
    except (DeviceError, FormatError) as refused:
        reason = f"TPM not prepared: {refused}"
        raise BootFailure(stage, Refusal.TPM_PROVISION, reason, _MEND) from None
    _leave(board, stage, machine)


def take_uv_tpm(board: Board) -> UvTpm:
    """What the ultravisor does first: copy the tree, and wipe it.

    FormatError when OPAL left none.
    """
    raw = board.secure.read(UV_TPM_ADDRESS, UV_TPM_SIZE)
    board.secure.write(UV_TPM_ADDRESS, bytes(UV_TPM_SIZE))
    _, size = Fdt.from_prefix(raw)
    return UvTpm.from_bytes(raw[:size])


def _leave(board: Board, stage: str, machine: UvTpm) -> None:
    """The passwords stand in no journal."""
    board.secure.write(UV_TPM_ADDRESS, machine.to_bytes())
    board.journal.add(
        stage,
        "tpm-prepared",
        profile=board.spec.pef.provision,
        address=UV_TPM_ADDRESS,
        storage_key=machine.storage_key_name.hex(),
        wrapping_key=machine.wrapping_key_name.hex(),
        nv_index=machine.nv_index,
    )
