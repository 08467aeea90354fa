"""Requests out of a byte stream: a code, and a body whose length the code tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

# MAX_BUFFER of the Microsoft simulator: a longer body ends the connection
MAX_DATA_SIZE: Final = 1 << 20
MAX_PORT: Final = 65534  # each protocol has a second port, the next one
_CODE_SIZE: Final = 4


class ProtocolError(Exception):
    """The stream can't be followed any further; the connection has to end."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A body: ``fixed`` bytes, then data with its length (u32) if it is ``sized``."""

    fixed: int = 0
    sized: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """One request: its code, the fixed part of its body, its data."""

    code: int
    fixed: bytes = b""
    data: bytes = b""


class Reply(NamedTuple):
    """What to send, and whether the connection or the whole server then ends."""

    raw: bytes = b""
    close: bool = False
    end: bool = False


class Port(Protocol):
    """What connections talk to: bytes in, a reply for each whole request.

    It keeps nothing of a connection: what is not whole stays in the buffer.
    ``pieces``: clients write a request in pieces, and wait for each to be acknowledged.
    """

    pieces: bool

    def answer(self, buffer: bytearray) -> Reply | None:
        """Take one request off the buffer; None while it is not whole."""
        ...

    def give_up(self, buffer: bytearray) -> Reply | None:
        """Nothing came for a while, and a request is not whole; None is patience."""
        ...


def code_of(buffer: bytearray) -> int | None:
    """The code that comes next; None while it is not whole."""
    if len(buffer) < _CODE_SIZE:
        return None
    return int.from_bytes(buffer[:_CODE_SIZE], "big")


def take_request(buffer: bytearray, shapes: Mapping[int, Shape]) -> Request | None:
    """One whole request off the front of the buffer, else None, and nothing is taken.

    KeyError for a code that has no shape; ProtocolError for data that is too long.
    """
    code = code_of(buffer)
    if code is None:
        return None
    shape = shapes[code]
    end = start = _CODE_SIZE + shape.fixed
    if shape.sized:
        start += 4
        if len(buffer) < start:
            return None
        end = start + int.from_bytes(buffer[start - 4 : start], "big")
        if end - start > MAX_DATA_SIZE:
            raise ProtocolError(f"0x{end - start:x} bytes of data")
    if len(buffer) < end:
        return None
    request = bytes(buffer[:end])
    del buffer[:end]
    fixed = request[_CODE_SIZE : _CODE_SIZE + shape.fixed]
    return Request(code, fixed, request[start:end] if shape.sized else b"")
