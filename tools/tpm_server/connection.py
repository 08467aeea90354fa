"""One client's connection: bytes to a port, replies back, fair to the others."""

from __future__ import annotations

import asyncio
import socket
from typing import Final, Protocol, cast

from pefstack.tools.tpm_server.framing import Port, Reply

PATIENCE: Final = 1.0  # seconds until a command whose rest does not come is given up
WRITE_LIMIT: Final = 1 << 16  # bytes that a client may leave unread
_QUICKACK: Final = getattr(socket, "TCP_QUICKACK", None)  # Linux


class House(Protocol):
    """What a connection may ask of its server."""

    def welcome(self, connection: Connection) -> bool:
        """Count the connection; False when there are too many."""
        ...

    def goodbye(self, connection: Connection) -> None:
        """It has ended."""
        ...

    def end(self) -> None:
        """A client asked for the end of the server."""
        ...


class Connection(asyncio.Protocol):
    """Answers one request, then lets the event loop serve others before the next.

    While it works off what it has, or the client does not read, it takes nothing in:
    what a client can make it hold is bounded.
    """

    def __init__(self, house: House, port: Port) -> None:
        self._house: Final = house
        self._port: Final = port
        self._buffer: Final = bytearray()
        self._transport: asyncio.Transport
        self._socket: socket.socket
        self._unread = False  # the client leaves too much unread
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Without delay in either direction (tpm.md 8)."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(WRITE_LIMIT)
        self._socket = transport.get_extra_info("socket")
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not self._house.welcome(self):
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """More of a request."""
        if self._port.pieces:
            self._acknowledge()
        self._buffer.extend(data)
        self._work()

    def pause_writing(self) -> None:
        """The client does not read."""
        self._unread = True

    def resume_writing(self) -> None:
        """The client reads again."""
        self._unread = False
        self._work()

    def connection_lost(self, exc: Exception | None) -> None:
        """Whatever was not a whole request is forgotten."""
        self._stop_waiting()
        self._buffer.clear()
        self._house.goodbye(self)

    def close(self) -> None:
        """The server ends."""
        self._transport.abort()

    def _work(self) -> None:
        """Answer one request, if one is there."""
        self._stop_waiting()
        if self._unread or not self._buffer or self._transport.is_closing():
            return
        reply = self._port.answer(self._buffer)
        if reply is None:
            self._acknowledge()
            loop = asyncio.get_running_loop()
            self._patience = loop.call_later(PATIENCE, self._give_up)
            self._transport.resume_reading()
        else:
            self._send(reply)

    def _send(self, reply: Reply) -> None:
        if reply.raw:
            self._transport.write(reply.raw)
        if reply.close:
            self._transport.close()
        if reply.end:
            self._house.end()
        if self._buffer:
            self._transport.pause_reading()
            asyncio.get_running_loop().call_soon(self._work)
        elif not reply.close:
            self._transport.resume_reading()

    def _give_up(self) -> None:
        reply = self._port.give_up(self._buffer)
        if reply is not None and not self._transport.is_closing():
            self._send(reply)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _acknowledge(self) -> None:
        """A client may wait for this before it sends the rest of its request.

        Linux takes the setting back by itself, hence again and again.
        """
        if _QUICKACK is not None:
            self._socket.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
