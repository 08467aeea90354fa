"""Somebody else's TPM on a board: what it does, the journal does not know."""

from __future__ import annotations

from typing import Final

from pefstack.hw.entropy import Clock
from pefstack.hw.errors import DeviceError
from pefstack.hw.journal import Journal
from pefstack.hw.tpm.interface import WiredTpm


class ForeignTpm(WiredTpm):
    """Passes everything on and notes nothing.

    ``always_on``: nobody here switches its power, so it was started before the board
    and its PCRs begin as they are; it is neither started nor allocated.
    """

    __slots__ = ("_tpm", "always_on")

    def __init__(self, tpm: WiredTpm, *, always_on: bool = False) -> None:
        self._tpm: Final = tpm
        self.always_on: Final = always_on

    def power_on(self) -> None:
        """Power, where it can be switched."""
        if not self.always_on:
            self._tpm.power_on()

    def power_off(self) -> None:
        """Off, where it can be switched."""
        if not self.always_on:
            self._tpm.power_off()

    def read_id(self) -> bytes:
        """Some vendor's: over these connections the register can't be read."""
        return self._tpm.read_id()

    def request_locality(self, locality: int) -> bool:
        """Whether commands may come from it."""
        return self._tpm.request_locality(locality)

    def execute(self, command: bytes, locality: int = 0) -> bytes:
        """The other TPM's answer."""
        return self._tpm.execute(command, locality)

    def hash_start(self) -> None:
        """Begin a hash sequence."""
        self._tpm.hash_start()

    def hash_data(self, data: bytes) -> None:
        """More data of it."""
        self._tpm.hash_data(data)

    def hash_end(self) -> None:
        """End it."""
        self._tpm.hash_end()

    def established(self) -> bool:
        """The establishment bit."""
        return self._tpm.established()

    def reset_established(self, locality: int) -> bool:
        """Clear the establishment bit."""
        return self._tpm.reset_established(locality)

    def fork(self, journal: Journal, *, clock: Clock | None = None) -> ForeignTpm:
        """There is one of it; DeviceError."""
        raise DeviceError("tpm", 0, "a machine on a foreign TPM can't be forked")
