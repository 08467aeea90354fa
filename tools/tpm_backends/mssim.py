"""A TPM behind the ports of the Microsoft simulator's protocol (tpm.md 8)."""

from __future__ import annotations

from typing import Final

from pefstack.hw.errors import DeviceError
from pefstack.hw.tpm.codes import LOCALITY_COUNT, MAX_RESPONSE_SIZE
from pefstack.hw.tpm.interface import WiredTpm
from pefstack.tools.tpm_backends.wire import UNKNOWN_ID, BackendError, Wire
from pefstack.tools.tpm_server.mssim import Code


class MssimTpm(WiredTpm):
    """Each request on a connection of its own, so that others come in between."""

    def __init__(self, host: str, port: int) -> None:
        self._host: Final = host
        self._port: Final = port
        self._on = False

    def power_on(self) -> None:
        """A power cycle at first, as nobody knows what was before: TPM Reset."""
        if not self._on:
            for code in (Code.POWER_OFF, Code.POWER_ON, Code.NV_ON):
                self._ask(self._port + 1, code)
        self._on = True

    def power_off(self) -> None:
        """POWER_OFF."""
        self._ask(self._port + 1, Code.POWER_OFF)
        self._on = False

    def read_id(self) -> bytes:
        """Of nobody in particular: the register can't be asked for."""
        return UNKNOWN_ID

    def request_locality(self, locality: int) -> bool:
        """Any that there is; it goes along with each command."""
        return 0 <= locality < LOCALITY_COUNT

    def execute(self, command: bytes, locality: int = 0) -> bytes:
        """The answer to one command; DeviceError when there is none."""
        size = len(command).to_bytes(4, "big")
        body = locality.to_bytes(1, "big") + size + command
        return self._ask(self._port, Code.SEND_COMMAND, body, sized=True)

    def hash_start(self) -> None:
        """HASH_START."""
        self._ask(self._port, Code.HASH_START)

    def hash_data(self, data: bytes) -> None:
        """HASH_DATA."""
        body = len(data).to_bytes(4, "big") + data
        self._ask(self._port, Code.HASH_DATA, body)

    def hash_end(self) -> None:
        """HASH_END."""
        self._ask(self._port, Code.HASH_END)

    def established(self) -> bool:
        """DeviceError: this protocol has no request for it."""
        why = "mssim has no request for the establishment bit"
        raise BackendError(f"{self._host}, port {self._port}", why)

    def reset_established(self, locality: int) -> bool:
        """DeviceError: this protocol has no request for it."""
        return self.established()

    def _ask(
        self, port: int, code: Code, body: bytes = b"", *, sized: bool = False
    ) -> bytes:
        with Wire(self._host, port) as wire:
            wire.send(code.to_bytes(4, "big") + body)
            size = wire.word() if sized else 0
            if size > MAX_RESPONSE_SIZE or (sized and not size):
                raise wire.nonsense(f"a response of 0x{size:x} bytes")
            answer = wire.receive(size)
            if result := wire.word():
                raise DeviceError("tpm", result, f"mssim refused {code.name}")
            return answer
