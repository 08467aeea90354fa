"""A secondary processor chip: its registers, its SEEPROMs, perhaps a TPM of its own."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from pefstack.hw.chip import Chip
from pefstack.hw.entropy import Clock
from pefstack.hw.errors import DeviceError
from pefstack.hw.fuses import Fuses
from pefstack.hw.journal import Journal
from pefstack.hw.seeprom import Seeprom
from pefstack.hw.tpm.absent import AbsentTpm
from pefstack.hw.tpm.engine import Tpm
from pefstack.hw.tpm.faulty import FaultyTpm
from pefstack.hw.tpm.foreign import ForeignTpm

BACKUP: Final = "backup-"  # before the source of what the backup TPM does
BoardTpm = Tpm | FaultyTpm | AbsentTpm | ForeignTpm


class Role(StrEnum):
    """What a chip is to its machine, and so what its SBE does with a TPM."""

    PRIMARY = "primary"
    ALTERNATE = "alternate"
    SECONDARY = "secondary"


@dataclass(slots=True, kw_only=True)
class Processor:
    """Everything of one secondary chip that can change; ``number`` counts from 1."""

    number: int
    role: Role
    chip: Chip
    fuses: Fuses
    seeprom: Seeprom
    measurement_seeprom: Seeprom
    tpm: BoardTpm
    tpm_fails_at: int = 0
    silent: bool = False

    @property
    def prefix(self) -> str:
        """Before the source of what this chip does, in the journal."""
        return f"chip{self.number}."

    def measurements(self, first: int, count: int) -> bytes:
        """Measurement registers, read from another chip; `DeviceError` if silent."""
        if self.silent:
            raise DeviceError(f"chip {self.number}", first, "no answer over the fabric")
        return self.chip.get_measurement(first, count)

    def fork(self, journal: Journal, clock: Clock) -> Processor:
        """The same chip with a future of its own."""
        chip = self.chip.fork()
        return Processor(
            number=self.number,
            role=self.role,
            chip=chip,
            fuses=self.fuses,
            seeprom=self.seeprom.fork(chip),
            measurement_seeprom=self.measurement_seeprom.fork(),
            tpm=self.tpm.fork(journal.named(BACKUP), clock=clock),
            tpm_fails_at=self.tpm_fails_at,
            silent=self.silent,
        )
