"""A TPM server in this process, in a thread of its own, and raw clients for it."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from pefstack.tools.tpm_server.server import Address, TpmServer
from pefstack.tools.tpm_server.start import start_service

SECONDS = 20.0
BOTH = {"swtpm": 0, "mssim": 0}


class Running:
    """A server that was started, and the ports it took."""

    def __init__(self, server: TpmServer) -> None:
        self.server = server
        self.addresses: dict[str, Address] = {}
        self.error: BaseException | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.ready = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> Self:
        self.thread.start()
        assert self.ready.wait(SECONDS)
        return self

    def end(self) -> None:
        if self.loop is not None:
            with suppress(RuntimeError):  # it has ended by itself
                self.loop.call_soon_threadsafe(self.server.end)
        self.join()

    def join(self) -> None:
        self.thread.join(SECONDS)
        assert not self.thread.is_alive()

    def port(self, protocol: str) -> int:
        return self.addresses[protocol].port

    def client(self, protocol: str, second: bool = False) -> Client:
        return Client(self.port(protocol) + second)

    def _run(self) -> None:
        try:
            asyncio.run(self.server.run(self._announce, signals=False))
        except BaseException as error:  # for the test to look at
            self.error = error
        finally:
            self.ready.set()

    def _announce(self, addresses: list[Address]) -> None:
        self.loop = asyncio.get_running_loop()
        self.addresses = {each.protocol: each for each in addresses}
        self.ready.set()


class Client:
    """A connection without any manners."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), SECONDS)

    def send(self, raw: bytes | str) -> Self:
        self.socket.sendall(bytes.fromhex(raw) if isinstance(raw, str) else raw)
        return self

    def receive(self, size: int) -> bytes:
        raw = b""
        while len(raw) < size:
            more = self.socket.recv(size - len(raw))
            assert more, f"closed after {raw.hex()}"
            raw += more
        return raw

    def ask(self, raw: bytes | str, size: int) -> str:
        """The answer in hex."""
        return self.send(raw).receive(size).hex()

    def response(self) -> bytes:
        """A TPM response without anything around it."""
        head = self.receive(10)
        return head + self.receive(int.from_bytes(head[2:6], "big") - 10)

    def is_closed(self) -> bool:
        """The server has closed it, without another byte."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def says_nothing(self, seconds: float = 0.2) -> bool:
        self.socket.settimeout(seconds)
        try:
            self.socket.recv(1)
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(SECONDS)
        return False

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@contextmanager
def serving(
    *, seed: str | None = "test", state: Path | None = None, startup: bool = True
) -> Iterator[Running]:
    """A TPM on both protocols and any ports, ended at the end."""
    service = start_service(seed, state, startup_clear=startup)
    running = Running(TpmServer(service, dict(BOTH))).start()
    try:
        yield running
    finally:
        running.end()
