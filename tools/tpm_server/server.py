"""The server: listeners for both protocols, one TPM, an orderly end."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from pefstack.tools.errors import UsageError
from pefstack.tools.tpm_server.connection import Connection
from pefstack.tools.tpm_server.framing import Port
from pefstack.tools.tpm_server.mssim import CommandPort, PlatformPort
from pefstack.tools.tpm_server.service import TpmService
from pefstack.tools.tpm_server.swtpm import ControlPort, DataPort

MAX_CONNECTIONS: Final = 128
_ANY: Final = ("0.0.0.0", "::")  # noqa: S104  (only compared)
_TRIES: Final = 64  # for two free ports in a row

# the port that clients are told, and the one behind it
PORTS: Final[dict[str, tuple[Callable[[TpmService], Port], ...]]] = {
    "mssim": (CommandPort, PlatformPort),
    "swtpm": (DataPort, ControlPort),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a protocol is served; ``port`` and the next one."""

    protocol: str
    host: str
    port: int

    @property
    def tcti(self) -> str:
        """The setting for clients on this machine."""
        host = "localhost" if self.host in _ANY else self.host
        return f"{self.protocol}:host={host},port={self.port}"


class TpmServer:
    """Serves one TPM on the wanted protocols until somebody ends it.

    ``wanted`` has a port for each protocol, 0 for any that is free.
    """

    def __init__(
        self, service: TpmService, wanted: dict[str, int], host: str = "127.0.0.1"
    ) -> None:
        self._service: Final = service
        self._wanted: Final = wanted
        self._host = host
        self._connections: Final[set[Connection]] = set()
        self._listeners: Final[list[socket.socket]] = []
        self._ended: asyncio.Future[None]

    async def run(
        self, announce: Callable[[list[Address]], None], *, signals: bool = True
    ) -> None:
        """Listen, announce the ports, serve to the end; UsageError for a taken port.

        Ends on SIGINT, SIGTERM, a client's STOP or SHUTDOWN, and on the first error,
        which is then raised.
        """
        loop = asyncio.get_running_loop()
        self._ended = loop.create_future()
        loop.set_exception_handler(self._on_error)
        for each in (signal.SIGINT, signal.SIGTERM) if signals else ():
            loop.add_signal_handler(each, self.end)
        try:
            self._host = await self._numeric()
            announce([self._listen(name) for name in self._wanted])
            await self._ended
        finally:
            self._close()

    def end(self) -> None:
        """The orderly end."""
        if not self._ended.done():
            self._ended.set_result(None)

    def goodbye(self, connection: Connection) -> None:
        """It has ended."""
        self._connections.discard(connection)

    def _on_error(
        self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]
    ) -> None:
        """A state file that can't be written, or a defect: no answer may go out."""
        error = context.get("exception") or RuntimeError(context["message"])
        if not self._ended.done():
            self._ended.set_exception(error)

    async def _numeric(self) -> str:
        """The first address of the host: a name may have two, with other free ports."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(self._host, 0, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as exc:
            raise UsageError(f"{self._host!r}: no such host: {exc}") from exc
        return str(found[0][4][0])

    def _listen(self, protocol: str) -> Address:
        first, second = (make(self._service) for make in PORTS[protocol])
        wanted = self._wanted[protocol]
        for _ in range(1 if wanted else _TRIES):
            listener = self._bound(wanted)
            number: int = listener.getsockname()[1]
            try:
                beside = self._bound(number + 1)
            except UsageError:
                listener.close()
                if wanted:
                    raise
                continue
            self._serve(listener, first)
            self._serve(beside, second)
            return Address(protocol=protocol, host=self._host, port=number)
        raise UsageError(f"{self._host}: found no two free ports in a row")

    def _bound(self, number: int) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        try:
            return socket.create_server(
                (self._host, number), family=family, backlog=MAX_CONNECTIONS
            )
        except (OSError, OverflowError) as exc:
            reason = getattr(exc, "strerror", None) or str(exc)
            raise UsageError(f"{self._host}, port {number}: {reason}") from exc

    def _serve(self, listener: socket.socket, port: Port) -> None:
        listener.setblocking(False)
        self._listeners.append(listener)
        loop = asyncio.get_running_loop()
        loop.add_reader(listener, self._accept, listener, port)

    def _accept(self, listener: socket.socket, port: Port) -> None:
        """Take in one connection; when there are too many, it ends at once."""
        try:
            accepted, _ = listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        if len(self._connections) >= MAX_CONNECTIONS:
            accepted.close()
            return
        connection = Connection(self, port, accepted)
        self._connections.add(connection)
        connection.begin()

    def _close(self) -> None:
        loop = asyncio.get_running_loop()
        for listener in self._listeners:
            loop.remove_reader(listener)
            listener.close()
        for connection in list(self._connections):
            connection.close()
        self._service.close()
