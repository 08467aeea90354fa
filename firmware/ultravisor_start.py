"""The ultravisor [722] starts: it takes OPAL's hand-over, and the secure memory.

On a machine with PEF, after OPAL and before the hypervisor. Its code is the partition
UVISOR, which OPAL verified and measured. esm.md 4.1.
"""

from __future__ import annotations

from typing import Final

from pefstack.firmware import hypervisor_start
from pefstack.firmware.profiles import profile_of
from pefstack.firmware.stage import Stage
from pefstack.firmware.ultravisor.ultravisor import Ultravisor
from pefstack.firmware.uv_hand_over import take_uv_tpm
from pefstack.firmware.virtualization import Virtualization
from pefstack.hw.board import Board
from pefstack.images.errors import FormatError
from pefstack.images.esm_blob_refusal import EsmProfile
from pefstack.images.uv_tpm import UvTpm

STAGE: Final = "ultravisor"


def run(board: Board) -> Stage:
    """Nothing is refused here: without a hand-over no VM becomes secure.

    After a memory-preserving IPL the VMs of before are gone; what they had is wiped.
    """
    board.secure.free_all()
    uv = Ultravisor(
        secure=board.secure,
        memory=board.memory,
        chip=board.chip,
        entropy=board.entropy,
        profile=EsmProfile(board.spec.pef.esm),
        machine=_taken(board),
        pcr=profile_of(board.spec.measure).policy_pcr,
    )
    hypervisor = hypervisor_start.new_hypervisor(board)
    board.running = Virtualization(board=board, hypervisor=hypervisor, ultravisor=uv)
    return hypervisor_start.run


def _taken(board: Board) -> UvTpm | None:
    try:
        machine = take_uv_tpm(board)
    except FormatError:
        machine = None
    board.journal.add(
        STAGE,
        "ultravisor",
        profile=board.spec.pef.esm,
        secure_memory=board.secure.size,
        tpm=int(machine is not None),
    )
    return machine
