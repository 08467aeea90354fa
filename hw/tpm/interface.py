"""What the rest of the stack may know of a TPM."""

from __future__ import annotations

from typing import Protocol


class TpmInterface(Protocol):
    """Any TPM: our model, or one behind a socket or a device file (tpm.md 9)."""

    def power_on(self) -> None:
        """Give power (_TPM_Init); nothing happens when it is on."""
        ...

    def power_off(self) -> None:
        """Take power away; what was not saved by Shutdown is lost."""
        ...

    def execute(self, command: bytes, locality: int = 0) -> bytes:
        """Answer one command; whatever the bytes, the answer is a response."""
        ...
