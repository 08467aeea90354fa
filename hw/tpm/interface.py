"""What the rest of the stack may know of a TPM."""

from __future__ import annotations

from typing import Final, Protocol

ID_SIZE: Final = 4


class TpmInterface(Protocol):
    """Any TPM: our model, or one behind a socket or a device file (tpm.md 9)."""

    def power_on(self) -> None:
        """Give power (_TPM_Init); nothing happens when it is on."""
        ...

    def power_off(self) -> None:
        """Take power away; what was not saved by Shutdown is lost."""
        ...

    def read_id(self) -> bytes:
        """TPM_DID_VID: vendor and device id, 2 bytes each, little-endian.

        All ones when nobody drives the bus.
        """
        ...

    def request_locality(self, locality: int) -> bool:
        """Ask for a locality in TPM_ACCESS, as before a command; whether it is ours."""
        ...

    def execute(self, command: bytes, locality: int = 0) -> bytes:
        """Answer one command; whatever the bytes, the answer is a response."""
        ...
