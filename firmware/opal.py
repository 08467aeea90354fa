"""OPAL [784]: extend the PEF enable bit, end the boot services with separators.

The PEF record [794] is one byte, 1 when the machine state shows PEF enabled, else 0;
it is extended at every boot (checklist P51). boot-chain.md 3.5.
"""

from __future__ import annotations

from typing import Final

from pefstack.firmware.further import measure_further
from pefstack.firmware.log import LogWriter
from pefstack.firmware.measure import measure
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
    measure(board, STAGE, "separator", b"", log)
    return None
