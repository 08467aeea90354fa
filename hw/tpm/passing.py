"""A TPM that hands everything on to another one: what it is not, it leaves out."""

from __future__ import annotations

from typing import Generic, TypeVar

from pefstack.hw.tpm.interface import WiredTpm

Inner = TypeVar("Inner", bound=WiredTpm)


class PassingTpm(WiredTpm, Generic[Inner]):
    """Everything goes to ``tpm``; a subclass overrides what it wants otherwise."""

    def __init__(self, tpm: Inner) -> None:
        self._tpm = tpm

    def power_on(self) -> None:
        """Give it power."""
        self._tpm.power_on()

    def power_off(self) -> None:
        """Take its power."""
        self._tpm.power_off()

    def read_id(self) -> bytes:
        """Its register; reading it is no command."""
        return self._tpm.read_id()

    def request_locality(self, locality: int) -> bool:
        """Its answer."""
        return self._tpm.request_locality(locality)

    def execute(self, command: bytes, locality: int = 0) -> bytes:
        """Its answer."""
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
        """Its establishment bit."""
        return self._tpm.established()

    def reset_established(self, locality: int) -> bool:
        """Clear its establishment bit."""
        return self._tpm.reset_established(locality)
