"""TPMs side by side: power, locality, commands, and what they answer."""

from __future__ import annotations

import socket
from typing import Final, Protocol

from lockstep.values import number, u32
from pefstack.hw.tpm.interface import WiredTpm
from pefstack.tools.tpm_backends.swtpm import SwtpmTpm
from pefstack.tools.tpm_backends.wire import Wire
from pefstack.tools.tpm_server.swtpm import Code

RETRY: Final = 0x922


class Side(WiredTpm, Protocol):
    """One of them."""


class KeptOpen(SwtpmTpm):
    """swtpm, all commands on one connection."""

    def __init__(self, port: int) -> None:
        super().__init__("127.0.0.1", port)
        self._data = Wire("127.0.0.1", port)
        self._control = socket.create_connection(("127.0.0.1", port + 1), 60)
        self._at = 0
        self.retries = 0

    def close(self) -> None:
        """Both connections."""
        self._data.__exit__(None, None, None)
        self._control.close()

    def power_off(self) -> None:
        """Without power a TPM is silent; INIT is off and on."""

    def power_on(self) -> None:
        """INIT."""
        self._ask(Code.INIT, bytes(4))

    def execute(self, command: bytes, locality: int = 0) -> bytes:
        """An answer; what it wants to be asked again is asked again."""
        if locality != self._at:
            self._ask(Code.SET_LOCALITY, locality.to_bytes(1, "big"))
            self._at = locality
        for _ in range(5):
            answer = self._once(command)
            if number(answer[6:10]) != RETRY:
                break
            self.retries += 1
        return answer

    def _once(self, command: bytes) -> bytes:
        self._data.send(command)
        head = self._data.receive(10)
        return head + self._data.receive(number(head[2:6]) - 10)

    def _ask(self, code: Code, body: bytes = b"", answer_size: int = 0) -> bytes:
        self._control.sendall(u32(code) + body)
        raw = b""
        while len(raw) < 4 + answer_size:
            more = self._control.recv(4 + answer_size - len(raw))
            if not more:
                raise OSError(f"swtpm closed after {code.name}")
            raw += more
            if len(raw) >= 4 and number(raw[:4]):
                raise OSError(f"swtpm: {code.name} gives 0x{number(raw[:4]):x}")
        return raw[4:]
