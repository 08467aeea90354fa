"""A TPM that hands everything on to another one: what it is not, it leaves out."""

from __future__ import annotations

from typing import Generic, TypeVar

from pefstack.hw.tpm.interface import BoardTpmInterface, TpmInterface

Inner = TypeVar("Inner", bound=TpmInterface)


class PassingTpm(TpmInterface, Generic[Inner]):
    """Everything goes to ``tpm``; a subclass overrides what it wants otherwise."""

    def __init__(self, tpm: Inner) -> None:
        self.tpm = tpm

    def power_on(self) -> None:
        """Give it power."""
        self.tpm.power_on()

    def power_off(self) -> None:
        """Take its power."""
        self.tpm.power_off()

    def execute(self, command: bytes, locality: int = 0) -> bytes:
        """Its answer."""
        return self.tpm.execute(command, locality)

    def hash_start(self) -> None:
        """Begin a hash sequence."""
        self.tpm.hash_start()

    def hash_data(self, data: bytes) -> None:
        """More data of it."""
        self.tpm.hash_data(data)

    def hash_end(self) -> None:
        """End it."""
        self.tpm.hash_end()

    def established(self) -> bool:
        """Its establishment bit."""
        return self.tpm.established()

    def reset_established(self, locality: int) -> bool:
        """Clear its establishment bit."""
        return self.tpm.reset_established(locality)


class PassingBoardTpm(PassingTpm[BoardTpmInterface], BoardTpmInterface):
    """The same for a TPM on a board's bus."""

    def read_id(self) -> bytes:
        """Its registers; reading them is no command."""
        return self.tpm.read_id()

    def request_locality(self, locality: int) -> bool:
        """Its answer."""
        return self.tpm.request_locality(locality)
