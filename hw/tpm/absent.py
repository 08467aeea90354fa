"""No TPM: what a chip sees that has none, or none that answers."""

from __future__ import annotations

from typing import Final

from pefstack.hw.entropy import Clock
from pefstack.hw.journal import Journal
from pefstack.hw.tpm.interface import ID_SIZE, WiredTpm

FLOATING: Final = b"\xff" * ID_SIZE  # a bus that nobody drives
_FAILURE: Final = bytes.fromhex("80010000000a00000101")  # TPM_RC_FAILURE


class AbsentTpm(WiredTpm):
    """Reads ones, grants nothing, answers every command with TPM_RC_FAILURE."""

    __slots__ = ()

    def power_on(self) -> None:
        """Nothing is there."""

    def power_off(self) -> None:
        """Nothing is there."""

    def read_id(self) -> bytes:
        """A floating bus."""
        return FLOATING

    def request_locality(self, locality: int) -> bool:
        """Never granted."""
        return False

    def execute(self, command: bytes, locality: int = 0) -> bytes:
        """TPM_RC_FAILURE."""
        return _FAILURE

    def hash_start(self) -> None:
        """Nothing is there."""

    def hash_data(self, data: bytes) -> None:
        """Nothing is there."""

    def hash_end(self) -> None:
        """Nothing is there."""

    def established(self) -> bool:
        """No bit is there."""
        return False

    def reset_established(self, locality: int) -> bool:
        """No bit is there."""
        return False

    def fork(self, journal: Journal, *, clock: Clock | None = None) -> AbsentTpm:
        """Nothing again."""
        return AbsentTpm()
