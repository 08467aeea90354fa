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


class WiredTpm(TpmInterface, Protocol):
    """A TPM with the lines beside its commands: hash sequence and establishment bit."""

    def hash_start(self) -> None:
        """_TPM_Hash_Start; the establishment bit is set."""
        ...

    def hash_data(self, data: bytes) -> None:
        """_TPM_Hash_Data; nothing happens when no sequence was begun."""
        ...

    def hash_end(self) -> None:
        """_TPM_Hash_End: PCR 0 before Startup (H-CRTM), PCR 17 after it (DRTM)."""
        ...

    def established(self) -> bool:
        """The establishment bit."""
        ...

    def reset_established(self, locality: int) -> bool:
        """Clear the establishment bit; False, and no change, below locality 3."""
        ...
