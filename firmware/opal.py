"""OPAL [784]: the PEF enable bit, the partitions it starts or reads, separators.

The PEF record [794] is one byte, 1 when the machine state shows PEF enabled, else 0;
it is extended at every boot (checklist P51). Partitions go to PCR4. boot-chain.md 1.3,
3.3, 3.5.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from pefstack.firmware.further import measure_further
from pefstack.firmware.load import load
from pefstack.firmware.log import LogWriter
from pefstack.firmware.measure import measure
from pefstack.firmware.partitions import present
from pefstack.firmware.profile_common import OPAL_PARTITIONS
from pefstack.firmware.root_of_trust import read_settings
from pefstack.firmware.stage import Stage
from pefstack.hw.board import Board
from pefstack.hw.chip import MSR_S

STAGE: Final = "opal"


def run(board: Board) -> Stage | None:
    """The last stage of the chain."""
    log = LogWriter.resume(board, STAGE)
    measure_further(board, STAGE, log)
    pef_enable = bytes([bool(board.chip.msr & MSR_S)])
    measure(board, STAGE, "pef-enable", pef_enable, log)
    # skiboot gives no minimum version to the verification code (1.3)
    fixed = replace(read_settings(board, STAGE), minimum_secure_version=0)
    for name in present(board, STAGE, OPAL_PARTITIONS):
        loaded = load(board, STAGE, name, fixed)
        measure(board, STAGE, name.lower(), loaded.payload_digest, log)
    measure(board, STAGE, "separator", b"", log)
    return None
