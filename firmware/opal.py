"""OPAL [784]: the PEF enable bit, the partitions it starts or reads, separators.

Makes the device tree from what Hostboot handed over and decides by it: secure mode,
trusted mode, the hash of the hardware keys, and where the event log is.
The PEF record [794] is one byte, 1 when the machine state shows PEF enabled, else 0;
it is extended at every boot of the profile `patent` (checklist P51). Partitions and
separators come in the order of the profile's table. After the last extend it prepares
the TPM for the ultravisor where the machine asks for it. boot-chain.md 1.3, 3.3 to 3.5,
4.2.
"""

from __future__ import annotations

from typing import Final

from pefstack.firmware.device_tree import device_tree, put_tree
from pefstack.firmware.hdat import Hdat, read_hdat
from pefstack.firmware.load import load
from pefstack.firmware.log import LogWriter
from pefstack.firmware.measure import measure
from pefstack.firmware.memory_map import DEVICE_TREE_ADDRESS
from pefstack.firmware.partitions import partition, present
from pefstack.firmware.profiles import further_value, profile_of
from pefstack.firmware.secure_boot import SecureBoot, secure_boot_of
from pefstack.firmware.stage import Stage
from pefstack.firmware.status import tpm_is_lost
from pefstack.hw.board import Board
from pefstack.hw.chip import MSR_S
from pefstack.images.sb_settings import SbSettings

STAGE: Final = "opal"


def run(board: Board) -> Stage | None:
    """The last stage of the firmware; the last of all on a machine without a guest."""
    hdat = read_hdat(board, STAGE)
    mode = _make_tree(board, hdat)
    log = _log(board, mode)
    subjects = profile_of(board.spec.measure).subjects(STAGE)
    there = present(board, STAGE, [what.upper() for what in subjects])
    for what in subjects:
        if what == "pef-enable":
            _measure(board, mode, what, _pef_enable(board), log)
        elif what == "separator":
            _measure(board, mode, what, b"", log)
        elif what.startswith("further-"):
            value = further_value(board.spec.measure, what)
            _measure(board, mode, what, value, log)
        elif what.upper() in there:
            _read(board, mode, what, log)
    if mode.trusted and tpm_is_lost(board):
        put_tree(board, device_tree(hdat, board.memory.size, first_disabled=True))
    if board.spec.pef.provision != "off":
        from pefstack.firmware.uv_hand_over import hand_over_tpm

        hand_over_tpm(board, STAGE, pef=bool(board.chip.msr & MSR_S))
    return _following(board) if board.spec.guest is not None else None


def _following(board: Board) -> Stage:
    """The ultravisor first, where PEF is on; their code must be in the flash."""
    partition(board, STAGE, "BOOTKERNEL")
    if not board.chip.msr & MSR_S:
        from pefstack.firmware import hypervisor_start  # loaded where there is a guest

        return hypervisor_start.run
    partition(board, STAGE, "UVISOR")
    from pefstack.firmware import ultravisor_start

    return ultravisor_start.run


def _make_tree(board: Board, hdat: Hdat) -> SecureBoot:
    tree = device_tree(hdat, board.memory.size)
    mode = secure_boot_of(STAGE, tree)
    size = put_tree(board, tree)
    board.journal.add(
        STAGE,
        "device-tree",
        address=DEVICE_TREE_ADDRESS,
        size=size,
        secure=int(mode.secure),
        trusted=int(mode.trusted),
        log=mode.log.start if mode.log else 0,
        log_size=len(mode.log or ()),
    )
    return mode


def _log(board: Board, mode: SecureBoot) -> LogWriter | None:
    """The log that the tree names, to append in place; None where there is none."""
    if not mode.trusted or mode.log is None:
        return None
    cut = board.spec.fault.opal_log_strlen
    return LogWriter.resume(board, STAGE, mode.log, cut=cut)


def _pef_enable(board: Board) -> bytes:
    return bytes([bool(board.chip.msr & MSR_S)])


def _measure(
    board: Board, mode: SecureBoot, what: str, data: bytes, log: LogWriter | None
) -> None:
    """Only in trusted mode."""
    if mode.trusted:
        measure(board, STAGE, what, data, log)


def _read(board: Board, mode: SecureBoot, what: str, log: LogWriter | None) -> None:
    """Verify and measure a partition as skiboot does; its label is not looked at.

    skiboot gives no minimum version to the verification code (1.3).
    """
    keys = SbSettings(hw_key_hash=mode.hw_key_hash)
    loaded = load(board, STAGE, what.upper(), keys, secure=mode.secure)
    _measure(board, mode, what, loaded.payload_digest, log)
