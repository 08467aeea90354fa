"""What a measurement profile is made of: rows, and what the SBE stages do in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from pefstack.images.codec import Buffer
from pefstack.images.container_peek import sw_flags_of, unprotected_size

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
    ``paged``: partitions whose payload may be a hash page table, through which what
    follows it is read; the others are protected as a whole and nothing behind them is
    looked at. ``page_flag``: the software flag that says so, which all but HBI need;
    0 where the name alone says it (1.7).
    ``separator_banks``: stages that log a separator's banks in an order of their own.
    """

    rows: tuple[Row, ...]
    banks: tuple[int, ...]
    loader_is_signed: bool
    needs_tpm: bool = False
    sbe_measures: bool = True
    paged: tuple[str, ...] = ()
    page_flag: int = 0
    separator_banks: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def flag_of(self, name: str) -> int:
        """The software flag that a partition with a hash page table carries."""
        return 0 if name == "HBI" else self.page_flag

    def paged_size(self, name: str, header: Buffer) -> int:
        """Bytes to read through the table of a partition with this 4096-byte header.

        0 where it has none. The header is believed: whoever verified it did so before.
        """
        flag = self.flag_of(name)
        if name not in self.paged or sw_flags_of(header) & flag != flag:
            return 0
        return unprotected_size(header)
