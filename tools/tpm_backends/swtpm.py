"""A TPM behind swtpm's data and control port (tpm.md 8)."""

from __future__ import annotations

from typing import Final

from pefstack.hw.errors import DeviceError
from pefstack.hw.tpm.codes import HEADER_SIZE, LOCALITY_COUNT, MAX_RESPONSE_SIZE
from pefstack.hw.tpm.interface import WiredTpm
from pefstack.tools.tpm_backends.wire import UNKNOWN_ID, Wire
from pefstack.tools.tpm_server.swtpm import DELETE_VOLATILE, Code, Result


class SwtpmTpm(WiredTpm):
    """Each request on a connection of its own, so that others come in between."""

    def __init__(self, host: str, port: int) -> None:
        self._host: Final = host
        self._port: Final = port
        self._on = False
        self._locality: int | None = None

    def power_on(self) -> None:
        """A power cycle at first, as nobody knows what was before: TPM Reset.

        Volatile state that somebody stored there is used up by the first INIT.
        """
        if not self._on:
            self._ask(Code.INIT, DELETE_VOLATILE.to_bytes(4, "big"))
            self._ask(Code.INIT, bytes(4))
        self._on = True

    def power_off(self) -> None:
        """STOP."""
        self._ask(Code.STOP)
        self._on = False

    def read_id(self) -> bytes:
        """Of nobody in particular: the register can't be asked for."""
        return UNKNOWN_ID

    def request_locality(self, locality: int) -> bool:
        """Any that there is; it goes along with each command."""
        return 0 <= locality < LOCALITY_COUNT

    def execute(self, command: bytes, locality: int = 0) -> bytes:
        """The answer to one command; DeviceError when there is none."""
        if locality != self._locality:
            self._ask(Code.SET_LOCALITY, locality.to_bytes(1, "big"))
            self._locality = locality
        with Wire(self._host, self._port) as wire:
            wire.send(command)
            head = wire.receive(HEADER_SIZE)
            size = int.from_bytes(head[2:6], "big")
            if not HEADER_SIZE <= size <= MAX_RESPONSE_SIZE:
                raise wire.nonsense(f"a response of 0x{size:x} bytes")
            return head + wire.receive(size - HEADER_SIZE)

    def hash_start(self) -> None:
        """HASH_START."""
        self._ask(Code.HASH_START)

    def hash_data(self, data: bytes) -> None:
        """HASH_DATA."""
        self._ask(Code.HASH_DATA, len(data).to_bytes(4, "big") + data)

    def hash_end(self) -> None:
        """HASH_END."""
        self._ask(Code.HASH_END)

    def established(self) -> bool:
        """GET_TPMESTABLISHED."""
        return self._ask(Code.GET_TPMESTABLISHED, answer_size=4)[0] != 0

    def reset_established(self, locality: int) -> bool:
        """RESET_TPMESTABLISHED; False when the locality is not allowed to."""
        try:
            self._ask(Code.RESET_TPMESTABLISHED, locality.to_bytes(1, "big"))
        except DeviceError as refused:
            if refused.code == Result.BAD_LOCALITY:
                return False
            raise
        return True

    def _ask(self, code: Code, body: bytes = b"", answer_size: int = 0) -> bytes:
        with Wire(self._host, self._port + 1) as wire:
            wire.send(code.to_bytes(4, "big") + body)
            if result := wire.word():
                raise DeviceError("tpm", result, f"swtpm refused {code.name}")
            return wire.receive(answer_size)
