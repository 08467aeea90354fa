"""A TPM behind a kernel device, /dev/tpmrm0 or /dev/tpm0 (tpm.md 9)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, NoReturn

from pefstack.hw.tpm.codes import MAX_RESPONSE_SIZE
from pefstack.hw.tpm.interface import WiredTpm
from pefstack.tools.tpm_backends.wire import UNKNOWN_ID, BackendError, lost


class DeviceTpm(WiredTpm):
    """One write of a command, one read of its response, at locality 0.

    The kernel has its power, its localities and its hash sequence: asking for one of
    them here is a BackendError.
    """

    def __init__(self, path: Path) -> None:
        self._path: Final = path
        try:
            self._device: Final = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except (OSError, ValueError) as exc:
            raise self._error(exc) from exc

    def power_on(self) -> None:
        """BackendError: what was extended stays extended."""
        self._no("its power can't be switched: its PCRs are as they are")

    def power_off(self) -> None:
        """BackendError."""
        self._no("its power can't be switched")

    def read_id(self) -> bytes:
        """Of nobody in particular: the register can't be asked for."""
        return UNKNOWN_ID

    def request_locality(self, locality: int) -> bool:
        """Locality 0 is the only one."""
        return locality == 0

    def execute(self, command: bytes, locality: int = 0) -> bytes:
        """The answer to one command; BackendError when there is none."""
        if locality:
            self._no(f"locality {locality} can't be chosen")
        try:
            os.write(self._device, command)
            return os.read(self._device, MAX_RESPONSE_SIZE)
        except OSError as exc:
            raise self._error(exc) from exc

    def hash_start(self) -> None:
        """BackendError."""
        self._no("a hash sequence is the processor's")

    def hash_data(self, data: bytes) -> None:
        """BackendError."""
        self.hash_start()

    def hash_end(self) -> None:
        """BackendError."""
        self.hash_start()

    def established(self) -> bool:
        """BackendError."""
        self._no("its establishment bit can't be read")

    def reset_established(self, locality: int) -> bool:
        """BackendError."""
        self._no("its establishment bit can't be cleared")

    def close(self) -> None:
        """End the session with the kernel."""
        os.close(self._device)

    def _no(self, why: str) -> NoReturn:
        raise BackendError(str(self._path), f"a kernel device: {why}")

    def _error(self, exc: OSError | ValueError) -> BackendError:
        if isinstance(exc, OSError):
            return lost(str(self._path), exc)
        return BackendError(str(self._path), str(exc))
