"""Wire what a machine has more than one of: chips and TPMs, from their descriptions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pefstack.hw.chip import Chip
from pefstack.hw.entropy import Clock, Entropy
from pefstack.hw.flip import flipped
from pefstack.hw.fuses import Fuses
from pefstack.hw.journal import Journal
from pefstack.hw.processor import BACKUP, BoardTpm, Processor, Role
from pefstack.hw.secondary_spec import SecondaryChipSpec
from pefstack.hw.seeprom import Seeprom
from pefstack.hw.tpm.absent import AbsentTpm
from pefstack.hw.tpm.codes import BANK_NAME
from pefstack.hw.tpm.engine import Tpm
from pefstack.hw.tpm.faulty import FaultyTpm

if TYPE_CHECKING:
    from pefstack.hw.machine import AnyTpmSpec, ChipSpec, MachineSpec

ALGORITHM_BY_NAME: Final = {name: algorithm for algorithm, name in BANK_NAME.items()}


def wire_chip(spec: ChipSpec, smd: bool) -> Chip:
    """A chip that was just reset, with its jumper."""
    return Chip(
        smd=smd,
        pef_enable=spec.pef_enable,
        pvr=spec.pvr,
        node_id=spec.node_id,
        scratch_3=spec.scratch_3,
        scratch_8=spec.scratch_8,
    )


def wire_tpm(
    spec: AnyTpmSpec,
    prefix: str,
    clock: Clock,
    journal: Journal,
    state: bytes | None = None,
) -> Tpm | FaultyTpm:
    """A TPM without power; ``prefix`` tells it from the others, "" is the primary's.

    New, or with saved ``state``; `FormatError` where that is damaged or another's.
    """
    tpm = Tpm(
        Entropy(spec.seed, f"{prefix}tpm"),
        clock,
        journal.named(prefix),
        banks=tuple(ALGORITHM_BY_NAME[name] for name in spec.banks),
        allocated=tuple(ALGORITHM_BY_NAME[name] for name in spec.allocated),
    )
    if state is not None:
        tpm.restore_state(state)
    return FaultyTpm(tpm, spec.dies_at) if spec.dies_at else tpm


def wire_secondaries(
    machine: MachineSpec,
    seeprom: bytes,
    measurement_seeprom: bytes,
    clock: Clock,
    journal: Journal,
) -> tuple[Processor, ...]:
    """Chips 1, 2, …; chip 1 has the backup TPM, if there is one."""
    found = []
    for number, spec in enumerate(machine.secondary_chips, 1):
        backup = machine.backup_tpm if number == 1 else None
        tpm: BoardTpm = AbsentTpm()
        if backup is not None:
            tpm = wire_tpm(backup, BACKUP, clock, journal)
        smd = machine.chip.smd if spec.smd is None else spec.smd
        key = f"machine.secondary-chips[{number - 1}]"
        chip = wire_chip(machine.chip, smd)
        content = flipped(seeprom, spec.flip, key)
        one = Processor(
            number=number,
            role=Role.SECONDARY if backup is None else Role.ALTERNATE,
            chip=chip,
            fuses=_fuses(machine, spec),
            seeprom=Seeprom(content, locked=False, chip=chip),
            measurement_seeprom=Seeprom(measurement_seeprom, locked=True),
            tpm=tpm,
            tpm_fails_at=0 if backup is None else backup.failing_step,
            silent=spec.silent,
        )
        found.append(one)
    return tuple(found)


def _fuses(machine: MachineSpec, spec: SecondaryChipSpec) -> Fuses:
    fuses = machine.fuses
    return Fuses(
        hw_key_hash=spec.hw_key_hash or fuses.hw_key_hash,
        minimum_secure_version=fuses.minimum_secure_version,
        signing_mode=fuses.signing_mode,
    )
