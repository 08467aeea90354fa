"""Hostboot ext HBI [782]: measure the configuration, the separator, verify OPAL [784].

Extends PCR1, 4 and 5 (configuration), the boot policy's PCR with the separator [792]
just before it verifies PAYLOAD, PCR4 and 5 (PAYLOAD), separators last. boot-chain.md
3.3, 3.5.
"""

from __future__ import annotations

from typing import Final

from pefstack.firmware import opal
from pefstack.firmware.bring_in import bring_in
from pefstack.firmware.further import measure_further
from pefstack.firmware.log import LogWriter
from pefstack.firmware.measure import measure
from pefstack.firmware.memory_map import PAYLOAD_ADDRESS
from pefstack.firmware.partitions import present
from pefstack.firmware.root_of_trust import read_settings
from pefstack.firmware.stage import BootFailure, Refusal, Stage
from pefstack.firmware.status import StatusByte, get_status
from pefstack.hw.board import Board
from pefstack.hw.chip import SECURITY_SWITCH
from pefstack.images.rejection import describe_status

STAGE: Final = "hostboot_ext"
# what Hostboot loads and secures where it is there, in the order of a real log (3.4)
OTHERS: Final = (
    "HBD",
    "VERSION",
    "OCC",
    "MEMD",
    "SBE",
    "HBBL",
    "HCODE",
    "WOFDATA",
    "HBRT",
)


def run(board: Board) -> Stage:
    """Hand over to OPAL."""
    _lock_down(board)
    log = LogWriter.resume(board, STAGE)
    measure_further(board, STAGE, log)
    _measure_configuration(board, log)
    fixed = read_settings(board, STAGE)
    for name in present(board, STAGE, OTHERS):
        bring_in(board, STAGE, name, fixed, log)
    measure(board, STAGE, "policy-separator", b"", log)
    bring_in(board, STAGE, "PAYLOAD", fixed, log, PAYLOAD_ADDRESS)
    measure(board, STAGE, "separator", b"", log)
    return opal.run


def _measure_configuration(board: Board, log: LogWriter) -> None:
    chip = board.chip
    switches = chip.get_scom(SECURITY_SWITCH).to_bytes(8, "big")
    measure(board, STAGE, "security-switches", switches, log)
    measure(board, STAGE, "pvr", chip.pvr.to_bytes(4, "big"), log)
    measure(board, STAGE, "node-id", chip.node_id.to_bytes(8, "big"), log)
    measure(board, STAGE, "tpm-required", bytes([board.spec.tpm.required]), log)


def _lock_down(board: Board) -> None:
    """Look at what the SBE recorded: with security on, a rejection ends the boot (1.4).

    The policy ``record-only`` is a machine whose lockdown does not work.
    """
    if not board.chip.secure or board.spec.verify.policy == "record-only":
        return
    for byte in (StatusByte.HBBL, StatusByte.SBE_FW):
        if status := get_status(board, byte):
            raise BootFailure(
                STAGE,
                Refusal.SBE_REPORTED,
                f"scratch register 11 reports {byte.name}: {describe_status(status)}",
                "put back the SEEPROM of this machine; the SBE ran what it rejected",
            )
