"""One client's connection: bytes to a port, replies back, fair to the others.

It is made of callbacks of the event loop on a socket: the loop's own transports, and
its tasks for new connections, would take longer than a TPM command.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Final, Protocol

from pefstack.tools.tpm_server.framing import Port, Reply

PATIENCE: Final = 1.0  # seconds until a command whose rest does not come is given up
_MOST: Final = 1 << 14  # bytes taken in at a time
_QUICKACK: Final = getattr(socket, "TCP_QUICKACK", None)  # Linux


class House(Protocol):
    """What a connection may ask of its server."""

    def goodbye(self, connection: Connection) -> None:
        """It has ended."""
        ...

    def end(self) -> None:
        """A client asked for the end of the server."""
        ...


class Connection:
    """Answers one request, then lets the event loop serve others before the next.

    While it works off what it has, or the client does not read, it takes nothing in:
    what a client can make it hold is bounded.
    """

    def __init__(self, house: House, port: Port, accepted: socket.socket) -> None:
        """Of a socket that was accepted; without delay in either direction."""
        self._house: Final = house
        self._port: Final = port
        self._socket: Final = accepted
        self._loop: Final = asyncio.get_running_loop()
        self._buffer: Final = bytearray()
        self._unsent = b""  # what the system did not take: the client does not read
        self._reads = False
        self._ends = False  # nothing more is answered
        self._patience: asyncio.TimerHandle | None = None
        accepted.setblocking(False)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def begin(self) -> None:
        """The first request is often there already, and is answered at once."""
        self._readable()

    def close(self) -> None:
        """The end; whatever was not a whole request is forgotten."""
        if self._socket.fileno() < 0:
            return
        self._ends = True
        self._stop_waiting()
        self._read(False)
        self._loop.remove_writer(self._socket)
        self._socket.close()
        self._house.goodbye(self)

    def _readable(self) -> None:
        """More of a request, or the client's end."""
        try:
            incoming = self._socket.recv(_MOST)
        except (BlockingIOError, InterruptedError):
            self._read(True)
            return
        except OSError:  # the client has gone
            incoming = b""
        if not incoming:
            self.close()
            return
        if self._port.pieces:
            self._acknowledge()
        self._buffer.extend(incoming)
        self._work()

    def _work(self) -> None:
        """Answer one request, if one is there."""
        if self._patience is not None:
            self._stop_waiting()
        if self._ends or not self._buffer:
            return
        reply = self._port.answer(self._buffer)
        if reply is None:
            self._acknowledge()
            self._patience = self._loop.call_later(PATIENCE, self._give_up)
            self._read(True)
        else:
            self._answer(reply)

    def _answer(self, reply: Reply) -> None:
        self._ends = reply.close
        if reply.raw:
            self._send(reply.raw)
        if reply.end:
            self._house.end()
        if self._unsent:
            self._read(False)
        else:
            self._go_on()

    def _go_on(self) -> None:
        """All is sent: the end, the next request that is there, or others that come."""
        if self._ends:
            self.close()
        elif self._buffer:
            self._read(False)
            self._loop.call_soon(self._work)
        else:
            self._read(True)

    def _send(self, raw: bytes) -> None:
        """As much as the system takes; the rest when the client has read."""
        try:
            sent = self._socket.send(raw)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError:  # the client has gone
            self._ends, sent = True, len(raw)
        if sent < len(raw):
            self._unsent = raw[sent:]
            self._loop.add_writer(self._socket, self._writable)

    def _writable(self) -> None:
        """The client has read."""
        self._loop.remove_writer(self._socket)
        rest, self._unsent = self._unsent, b""
        self._send(rest)
        if not self._unsent:
            self._go_on()

    def _read(self, wanted: bool) -> None:
        """Take in what comes, or leave it to the system, which slows the client."""
        if wanted is self._reads:
            return
        self._reads = wanted
        if wanted:
            self._loop.add_reader(self._socket, self._readable)
        else:
            self._loop.remove_reader(self._socket)

    def _give_up(self) -> None:
        self._patience = None
        reply = self._port.give_up(self._buffer)
        if reply is not None:
            self._answer(reply)

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
