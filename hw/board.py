"""The board: the devices that a stage can reach. A value: it can be forked."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Protocol, Self

from pefstack.hw.chip import Chip
from pefstack.hw.entropy import Clock, Entropy
from pefstack.hw.errors import DeviceError
from pefstack.hw.flash import Flash
from pefstack.hw.fuses import Fuses
from pefstack.hw.guest_spec import GuestImages
from pefstack.hw.journal import Journal
from pefstack.hw.memory import Memory
from pefstack.hw.processor import BACKUP, BoardTpm, Processor, Role
from pefstack.hw.secure_memory import SecureMemory
from pefstack.hw.seeprom import Seeprom

if TYPE_CHECKING:
    from pefstack.hw.machine import MachineSpec

_TPM: Final = "tpm"


class Software(Protocol):
    """What runs on a board after its firmware: lost with the power, forked with it."""

    def fork(self, board: Board) -> Self:
        """The same software at the same moment, on another board."""
        ...


@dataclass(slots=True, kw_only=True)
class Board:
    """All state of one machine. Two boards share nothing that can change.

    ``chip``, ``fuses``, the SEEPROMs and ``tpm`` are those of the chip that code runs
    on: ``number`` 0 is the primary, `seen_from` gives the others. ``tpm_fails_at`` is
    the step (`TpmStep`) before which that chip's TPM loses its power, a fault.
    ``entropy``: random numbers of the processors; no bus carries them.
    ``poisoned``: names of the TPMs that firmware poisoned, its own note.
    ``secure``: memory that only the ultravisor reaches. ``running``: ultravisor,
    hypervisor and guest, once they run.
    """

    name: str
    spec: MachineSpec
    journal: Journal
    clock: Clock
    entropy: Entropy
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
    secure: SecureMemory = field(default_factory=SecureMemory)
    guest_images: GuestImages | None = None
    running: Software | None = None

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

    @property
    def chips(self) -> tuple[Board, ...]:
        """The machine as code on each of its chips sees it, the primary first."""
        return self, *(self.seen_from(each) for each in self.secondaries)

    def power_on(self) -> None:
        """Give power to every TPM."""
        for tpm in (self.tpm, *(each.tpm for each in self.secondaries)):
            tpm.power_on()

    def power_off(self) -> None:
        """Take the power away: memory, registers and PCRs are lost.

        Flash, SEEPROMs, fuses and what the TPM keeps in NV survive. The chip samples
        the jumper and finds its mailbox as the BMC fills it.
        """
        self._reset(memory_preserving=False)
        self.memory.clear()
        self.secure.clear()

    def reset_preserving_memory(self) -> None:
        """Start a memory-preserving IPL: memory, SAB and the security switch stay.

        The TPM is reset with the chip (docs/stages.md has the reason).
        """
        self._reset(memory_preserving=True)

    def program(self, fuses: Fuses) -> None:
        """Put other values into this chip's fuses; `DeviceError` behind its lock."""
        if self.chip.update_locked:
            raise DeviceError("fuses", 0, "the SBE update lock is set")
        self.fuses = fuses
        for each in self.secondaries:
            if each.number == self.number:
                each.fuses = fuses

    def fork(self) -> Board:
        """The same machine at the same moment, with a future of its own."""
        journal = self.journal.fork()
        clock = self.clock.fork()
        chip = self.chip.fork()
        other = replace(
            self,
            journal=journal,
            clock=clock,
            entropy=self.entropy.fork(),
            chip=chip,
            seeprom=self.seeprom.fork(chip),
            measurement_seeprom=self.measurement_seeprom.fork(),
            flash=self.flash.fork(journal),
            memory=self.memory.fork(),
            tpm=self.tpm.fork(journal, clock=clock),
            secondaries=tuple(each.fork(journal, clock) for each in self.secondaries),
            poisoned=set(self.poisoned),
            secure=self.secure.fork(),
            running=None,
        )
        if self.running is not None:
            other.running = self.running.fork(other)
        return other

    def _reset(self, *, memory_preserving: bool) -> None:
        for each in self.chips:
            each.tpm.power_off()
            each.chip.reset(memory_preserving=memory_preserving)
        self.poisoned.clear()
        self.running = None
        self.flash.corrected_count = 0
