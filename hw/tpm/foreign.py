"""Somebody else's TPM on a board: what it does, the journal does not know."""

from __future__ import annotations

from typing import Final

from pefstack.hw.entropy import Clock
from pefstack.hw.errors import DeviceError
from pefstack.hw.journal import Journal
from pefstack.hw.tpm.interface import WiredTpm
from pefstack.hw.tpm.passing import PassingTpm


class ForeignTpm(PassingTpm[WiredTpm]):
    """Passes everything on and notes nothing.

    ``always_on``: nobody here switches its power, so it was started before the board
    and its PCRs begin as they are; it is neither started nor allocated.
    """

    def __init__(self, tpm: WiredTpm, *, always_on: bool = False) -> None:
        super().__init__(tpm)
        self.always_on: Final = always_on

    def power_on(self) -> None:
        """Power, where it can be switched."""
        if not self.always_on:
            self._tpm.power_on()

    def power_off(self) -> None:
        """Off, where it can be switched."""
        if not self.always_on:
            self._tpm.power_off()

    def fork(self, journal: Journal, *, clock: Clock | None = None) -> ForeignTpm:
        """There is one of it; DeviceError."""
        raise DeviceError("tpm", 0, "a machine on a foreign TPM can't be forked")
