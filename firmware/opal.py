"""OPAL [784]: the PEF enable bit, the partitions it starts or reads, separators.

The PEF record [794] is one byte, 1 when the machine state shows PEF enabled, else 0;
it is extended at every boot of the profile `patent` (checklist P51). Partitions and
separators come in the order of the profile's table. boot-chain.md 1.3, 3.3 to 3.5.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from pefstack.firmware.load import load
from pefstack.firmware.log import LogWriter
from pefstack.firmware.measure import measure
from pefstack.firmware.partitions import present
from pefstack.firmware.profiles import further_value, profile_of
from pefstack.firmware.root_of_trust import read_settings
from pefstack.firmware.stage import Stage
from pefstack.hw.board import Board
from pefstack.hw.chip import MSR_S

STAGE: Final = "opal"


def run(board: Board) -> Stage | None:
    """The last stage of the chain."""
    log = LogWriter.resume(board, STAGE)
    subjects = profile_of(board.spec.measure).subjects(STAGE)
    there = present(board, STAGE, [what.upper() for what in subjects])
    for what in subjects:
        if what == "pef-enable":
            measure(board, STAGE, what, _pef_enable(board), log)
        elif what == "separator":
            measure(board, STAGE, what, b"", log)
        elif what.startswith("further-"):
            measure(board, STAGE, what, further_value(board.spec.measure, what), log)
        elif what.upper() in there:
            _read(board, what, log)
    return None


def _pef_enable(board: Board) -> bytes:
    return bytes([bool(board.chip.msr & MSR_S)])


def _read(board: Board, what: str, log: LogWriter) -> None:
    """Verify and measure a partition as skiboot does; its label is not looked at.

    skiboot gives no minimum version to the verification code (1.3).
    """
    fixed = replace(read_settings(board, STAGE), minimum_secure_version=0)
    loaded = load(board, STAGE, what.upper(), fixed)
    measure(board, STAGE, what, loaded.payload_digest, log)
