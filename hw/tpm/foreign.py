"""Somebody else's TPM on a board: what it does, the journal does not know."""

from __future__ import annotations

from typing import Final

from pefstack.hw.entropy import Clock
from pefstack.hw.errors import DeviceError
from pefstack.hw.journal import Journal
from pefstack.hw.tpm.codes import LOCALITY_COUNT
from pefstack.hw.tpm.interface import BoardTpmInterface, TpmInterface
from pefstack.hw.tpm.passing import PassingTpm

UNKNOWN_ID: Final = (0x0001_FFFE).to_bytes(4, "little")


class ForeignTpm(PassingTpm[TpmInterface], BoardTpmInterface):
    """Passes every command on and notes nothing.

    ``always_on``: nobody here switches its power, so it was started before the board
    and its PCRs begin as they are; it is neither started nor allocated.
    """

    def __init__(self, tpm: TpmInterface, *, always_on: bool = False) -> None:
        super().__init__(tpm)
        self.always_on: Final = always_on

    def power_on(self) -> None:
        """Power, where it can be switched."""
        if not self.always_on:
            self.tpm.power_on()

    def power_off(self) -> None:
        """Off, where it can be switched."""
        if not self.always_on:
            self.tpm.power_off()

    def read_id(self) -> bytes:
        """No protocol here has the register: there is a TPM, and it is nobody's."""
        return UNKNOWN_ID

    def request_locality(self, locality: int) -> bool:
        """Granted; a TPM that has no other localities refuses at the command."""
        return 0 <= locality < LOCALITY_COUNT

    def fork(self, journal: Journal, *, clock: Clock | None = None) -> ForeignTpm:
        """There is one of it; DeviceError."""
        raise DeviceError("tpm", 0, "a machine on a foreign TPM can't be forked")
