"""The board: the devices that a stage can reach. A value: it can be forked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pefstack.hw.chip import Chip
from pefstack.hw.entropy import Clock
from pefstack.hw.flash import Flash
from pefstack.hw.fuses import Fuses
from pefstack.hw.journal import Journal
from pefstack.hw.memory import Memory
from pefstack.hw.seeprom import Seeprom
from pefstack.hw.tpm.engine import Tpm
from pefstack.hw.tpm.faulty import FaultyTpm
from pefstack.hw.tpm.foreign import ForeignTpm

if TYPE_CHECKING:
    from pefstack.hw.machine import MachineSpec


@dataclass(slots=True, kw_only=True)
class Board:
    """All state of one machine. Two boards share nothing that can change."""

    name: str
    spec: MachineSpec
    journal: Journal
    clock: Clock
    fuses: Fuses
    chip: Chip
    seeprom: Seeprom
    measurement_seeprom: Seeprom
    flash: Flash
    memory: Memory
    tpm: Tpm | FaultyTpm | ForeignTpm

    def fork(self) -> Board:
        """The same machine at the same moment, with a future of its own."""
        journal = self.journal.fork()
        clock = self.clock.fork()
        return Board(
            name=self.name,
            spec=self.spec,
            journal=journal,
            clock=clock,
            fuses=self.fuses,
            chip=self.chip.fork(),
            seeprom=self.seeprom.fork(),
            measurement_seeprom=self.measurement_seeprom.fork(),
            flash=self.flash.fork(journal),
            memory=self.memory.fork(),
            tpm=self.tpm.fork(journal, clock=clock),
        )
