"""Further values in the boot policy's PCR, where a machine asks for them (P8)."""

from __future__ import annotations

from pefstack.firmware.log import LogWriter
from pefstack.firmware.measure import measure
from pefstack.firmware.profiles import further_what
from pefstack.hw.board import Board


def measure_further(board: Board, stage: str, log: LogWriter) -> None:
    """Extend the machine's further values that belong to this stage, in order."""
    for number, each in enumerate(board.spec.measure.further):
        if each.stage == stage:
            measure(board, stage, further_what(number), each.value, log)
