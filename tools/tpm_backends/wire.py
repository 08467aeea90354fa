"""One request to a TPM server over TCP, and the words of what can go wrong."""

from __future__ import annotations

import socket
from types import TracebackType
from typing import Final, Self

from pefstack.hw.errors import DeviceError

# TPM_DID_VID of a TPM that is there, whoever made it: QEMU's emulated TPMs say so
UNKNOWN_ID: Final = bytes.fromhex("14100100")
SECONDS: Final = 120.0  # a slow TPM makes an RSA key


class BackendError(DeviceError):
    """The TPM gave no answer at all: not there, gone, or not able to."""

    def __init__(self, place: str, why: str) -> None:
        super().__init__("tpm", 0, f"{place}: {why}")
        self.args = (place, why)

    def __str__(self) -> str:
        return f"tpm: {self.meaning}"


def lost(place: str, exc: OSError) -> BackendError:
    """The TPM could not be reached, or went away."""
    return BackendError(place, exc.strerror or str(exc))


class Wire:
    """A connection for one request; BackendError when the server is not there."""

    def __init__(self, host: str, port: int) -> None:
        self.place: Final = f"{host}, port {port}"
        try:
            self._socket: Final = socket.create_connection((host, port), SECONDS)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as exc:
            raise lost(self.place, exc) from exc

    def send(self, raw: bytes) -> None:
        """All of it."""
        try:
            self._socket.sendall(raw)
        except OSError as exc:
            raise lost(self.place, exc) from exc

    def receive(self, size: int) -> bytes:
        """Exactly so many bytes."""
        raw = bytearray()
        try:
            while len(raw) < size:
                more = self._socket.recv(size - len(raw))
                if not more:
                    raise self.nonsense("closed by the TPM")
                raw += more
        except OSError as exc:
            raise lost(self.place, exc) from exc
        return bytes(raw)

    def word(self) -> int:
        """A u32."""
        return int.from_bytes(self.receive(4), "big")

    def nonsense(self, what: str) -> BackendError:
        """What came is no answer of a TPM."""
        return BackendError(self.place, what)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._socket.close()
