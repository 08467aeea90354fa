"""What a measurement profile is made of: rows, and what the SBE stages do in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

POLICY: Final = -1  # the PCR of the boot policy: 6, unless the machine says another
SEPARATED: Final = -2  # PCRs 0 to 7 but the boot policy's

# stage, what is measured, PCR, event type, event data
Row = tuple[str, str, int, int, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileTable:
    """A profile as data.

    ``loader_is_signed``: SBE_FW covers `.sb_verification` too, and the immutable code
    checks it before it hands over. ``needs_tpm``: a TPM that fails ends the boot; else
    it is given up, and the boot goes on without (3.3, 3.4).
    ``sbe_measures``: the SBE verifies and measures, its settings are in the SEEPROM;
    else (POWER9) Hostboot does, and the key hash stands in the HBBL area.
    ``hbi_has_pages``: what follows HBI's payload is paged in through a hash page table;
    else HBI is protected as a whole and nothing behind it is looked at.
    ``separator_banks``: stages that log a separator's banks in an order of their own.
    """

    rows: tuple[Row, ...]
    banks: tuple[int, ...]
    loader_is_signed: bool
    needs_tpm: bool = False
    sbe_measures: bool = True
    hbi_has_pages: bool = True
    separator_banks: dict[str, tuple[int, ...]] = field(default_factory=dict)
