"""The secondary chips: start their SBEs, compare and measure what those measured.

Hostboot starts them; each runs the SBE's own stages from its own SEEPROM. Later their
measurement registers are compared with the primary's, and go into the TPM with those
of the SBE's chip-op. boot-chain.md 3.3, "Measurement registers".
"""

from __future__ import annotations

from typing import Final

from pefstack.firmware import sbe_immutable, sbe_mutable
from pefstack.firmware.log import LogWriter
from pefstack.firmware.measure import measure
from pefstack.firmware.poison import poison
from pefstack.firmware.profiles import profile_of
from pefstack.firmware.stage import BootFailure, Refusal
from pefstack.firmware.tpm_access import give_up
from pefstack.firmware.tpm_start import start_tpm
from pefstack.hw.board import Board
from pefstack.hw.chip import MEASUREMENT_COUNT
from pefstack.hw.errors import DeviceError
from pefstack.hw.processor import Processor

# subject -> first measurement register and size in bytes
MEASURED: Final = {
    "secondary-verification": (4, 32),
    "secondary-firmware": (8, 32),
    "secondary-keys": (1, 8),
    "secondary-state": (2, 8),
    "secondary-switches": (3, 8),
}
# what must be alike on all chips: what stands behind the boot policy's PCR
_COMPARED: Final = {"security": (0, 8), "keys": (1, 8), "code": (4, 32)}


def start_secondary_chips(board: Board, stage: str) -> None:
    """Each SBE runs as on the primary; one that refuses ends the boot."""
    for processor in board.secondaries:
        chip = board.seen_from(processor)
        try:
            sbe_immutable.run(chip)
            sbe_mutable.run(chip)
        except BootFailure as failure:
            reason = f"chip {processor.number}: {failure}"
            raise BootFailure(
                stage, Refusal.SECONDARY_CHIP, reason, failure.mend, failure.log
            ) from failure
        board.journal.add(stage, "chip-started", chip=processor.number)


def init_backup_tpm(board: Board, stage: str) -> None:
    """Hostboot poisons the backup TPM, whatever its SBE did; POWER9: starts it first.

    Extends go to the primary's TPM alone.
    """
    processor = board.alternate
    if processor is None:
        return
    chip = board.seen_from(processor)
    if profile_of(board.spec.measure).table.sbe_measures:
        poison(chip, stage)
    else:
        start_tpm(chip, stage)


def measure_secondary_chips(board: Board, stage: str, log: LogWriter) -> None:
    """Compare every chip with the primary, measure it, and poison when one differs."""
    if not board.secondaries:
        return
    own = board.chip.get_measurement(0, MEASUREMENT_COUNT)
    _note(board, stage, 0, own)
    differing = False
    for processor in board.secondaries:
        registers = _read(board, stage, processor)
        if registers is None:
            break
        _note(board, stage, processor.number, registers)
        differing = differing or _compared(registers) != _compared(own)
        for what, place in MEASURED.items():
            value = _slice(registers, *place)
            measure(board, stage, what, value, log, processor.number)
    if differing:
        poison(board, stage)


def _read(board: Board, stage: str, processor: Processor) -> bytes | None:
    """A chip's registers; where they cannot be read the SBE gives the TPM up."""
    try:
        return processor.measurements(0, MEASUREMENT_COUNT)
    except DeviceError as silent:
        give_up(board, stage, ("secondary-read", 0), f"measurement registers: {silent}")
        return None


def _note(board: Board, stage: str, number: int, registers: bytes) -> None:
    compared = {key: value.hex() for key, value in _compared(registers).items()}
    board.journal.add(stage, "chip", chip=number, **compared)


def _compared(registers: bytes) -> dict[str, bytes]:
    return {name: _slice(registers, *place) for name, place in _COMPARED.items()}


def _slice(registers: bytes, first: int, size: int) -> bytes:
    return registers[8 * first : 8 * first + size]
