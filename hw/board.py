"""The board: the devices that a stage can reach. A value: it can be forked."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from pefstack.hw.chip import Chip
from pefstack.hw.entropy import Clock
from pefstack.hw.flash import Flash
from pefstack.hw.fuses import Fuses
from pefstack.hw.journal import Journal
from pefstack.hw.memory import Memory
from pefstack.hw.processor import BACKUP, BoardTpm, Processor, Role
from pefstack.hw.seeprom import Seeprom

if TYPE_CHECKING:
    from pefstack.hw.machine import MachineSpec

_TPM: Final = "tpm"


@dataclass(slots=True, kw_only=True)
class Board:
    """All state of one machine. Two boards share nothing that can change.

    ``chip``, ``fuses``, the SEEPROMs and ``tpm`` are those of the chip that code runs
    on: ``number`` 0 is the primary, `seen_from` gives the others. ``tpm_fails_at`` is
    the step (`TpmStep`) before which that chip's TPM loses its power, a fault.
    ``poisoned``: names of the TPMs that firmware poisoned, its own note.
    """

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
    tpm: BoardTpm
    tpm_fails_at: int = 0
    number: int = 0
    role: Role = Role.PRIMARY
    secondaries: tuple[Processor, ...] = ()
    poisoned: set[str] = field(default_factory=set)

    @property
    def alternate(self) -> Processor | None:
        """The chip with the backup TPM, if the machine has one."""
        alternates = (each for each in self.secondaries if each.role is Role.ALTERNATE)
        return next(alternates, None)

    @property
    def tpm_name(self) -> str:
        """What the journal calls this chip's TPM: ``tpm`` or ``backup-tpm``."""
        return f"{BACKUP}{_TPM}" if self.number else _TPM

    def begin_step(self, step: int) -> None:
        """Firmware is about to take this step with the TPM, which may fail there."""
        if step and step == self.tpm_fails_at:
            self.tpm.power_off()

    def seen_from(self, processor: Processor) -> Board:
        """The same machine for code that runs on a secondary chip."""
        return replace(
            self,
            journal=self.journal.named(processor.prefix),
            fuses=processor.fuses,
            chip=processor.chip,
            seeprom=processor.seeprom,
            measurement_seeprom=processor.measurement_seeprom,
            tpm=processor.tpm,
            tpm_fails_at=processor.tpm_fails_at,
            number=processor.number,
            role=processor.role,
        )

    def power_on(self) -> None:
        """Give power to every TPM."""
        for tpm in (self.tpm, *(each.tpm for each in self.secondaries)):
            tpm.power_on()

    def fork(self) -> Board:
        """The same machine at the same moment, with a future of its own."""
        journal = self.journal.fork()
        clock = self.clock.fork()
        return replace(
            self,
            journal=journal,
            clock=clock,
            chip=self.chip.fork(),
            seeprom=self.seeprom.fork(),
            measurement_seeprom=self.measurement_seeprom.fork(),
            flash=self.flash.fork(journal),
            memory=self.memory.fork(),
            tpm=self.tpm.fork(journal, clock=clock),
            secondaries=tuple(each.fork(journal, clock) for each in self.secondaries),
            poisoned=set(self.poisoned),
        )
