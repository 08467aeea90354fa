"""Read HDAT as OPAL does: bytes in memory, taken from nobody on trust but Hostboot.

Every length is checked before anything is read by it; a broken structure ends the boot.
boot-chain.md 4.2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from pefstack.firmware.memory_map import (
    HDAT_ADDRESS,
    HDAT_SIZE,
    IPL_PARAMETERS_ADDRESS,
    TPMREL_ADDRESS,
)
from pefstack.firmware.stage import BootFailure, Refusal
from pefstack.hw.board import Board
from pefstack.images.errors import FormatError
from pefstack.images.hdif import HEADER_SIZE, HdifHeader
from pefstack.images.iplparams import IplParameters, SystemParameters
from pefstack.images.tpmrel import (
    VERSION_POWER9,
    HashAndVerifyService,
    NodeTpm,
    TpmRel,
    srtm_log_ranges,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hdat:
    """What Hostboot handed over; ``log_places`` has the buffer of each TPM's log."""

    power9: bool
    system: SystemParameters
    tpms: tuple[NodeTpm, ...]
    log_places: tuple[range, ...]
    services: tuple[HashAndVerifyService, ...]


def read_hdat(board: Board, stage: str) -> Hdat:
    """Both structures; `BootFailure` with `HDAT_BROKEN` for one that is none."""
    raw = _structure(board, stage, IPL_PARAMETERS_ADDRESS)
    parameters = _parsed(stage, lambda: IplParameters.from_bytes(raw))
    relations_raw = _structure(board, stage, TPMREL_ADDRESS)
    relations = _parsed(stage, lambda: TpmRel.from_bytes(relations_raw))
    places = srtm_log_ranges(relations_raw)
    return Hdat(
        power9=relations.version == VERSION_POWER9,
        system=parameters.system,
        tpms=relations.tpms,
        log_places=tuple(
            range(TPMREL_ADDRESS + each.start, TPMREL_ADDRESS + each.stop)
            for each in places
        ),
        services=relations.services,
    )


def hdat_broken(stage: str, reason: str) -> BootFailure:
    """The refusal of a hand-over that cannot be used."""
    mend = "find out who wrote over HDAT between Hostboot and OPAL"
    return BootFailure(stage, Refusal.HDAT_BROKEN, reason, mend)


def _structure(board: Board, stage: str, address: int) -> bytes:
    """All bytes of the structure at an address, which must end inside HDAT's area."""
    head = board.memory.read(address, HEADER_SIZE)
    header, _ = _parsed(stage, lambda: HdifHeader.from_prefix(head))
    room = HDAT_ADDRESS + HDAT_SIZE - address
    if header.total_size > room:
        found = f"0x{header.total_size:x} bytes at 0x{address:x}"
        raise hdat_broken(stage, f"HDAT: found {found}, expected at most 0x{room:x}")
    return board.memory.read(address, header.total_size)


def _parsed(stage: str, parse: Callable[[], T]) -> T:
    try:
        return parse()
    except FormatError as broken:
        raise hdat_broken(stage, f"HDAT in memory is broken: {broken}") from broken
