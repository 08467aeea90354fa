"""The protocol of the Microsoft simulator: command and platform port (tpm.md 8)."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from struct import Struct
from typing import Final

from pefstack.tools.tpm_server.framing import (
    ProtocolError,
    Reply,
    Request,
    Shape,
    take_request,
)
from pefstack.tools.tpm_server.service import TpmService

SERVER_VERSION: Final = 1
FLAGS: Final = 0x0D  # platform, raw, physical presence
_DONE: Final = bytes(4)
_UNKNOWN: Final = b"\0\0\0\1"
_WORDS: Final = Struct(">II")
_SIZES: Final = Struct("<IIII")  # the simulator sends its memory, on a PC


class Code(IntEnum):
    """TpmTcpProtocol.h of the simulator."""

    POWER_ON = 1
    POWER_OFF = 2
    PHYS_PRES_ON = 3
    PHYS_PRES_OFF = 4
    HASH_START = 5
    HASH_DATA = 6
    HASH_END = 7
    SEND_COMMAND = 8
    CANCEL_ON = 9
    CANCEL_OFF = 10
    NV_ON = 11
    NV_OFF = 12
    KEY_CACHE_ON = 13
    KEY_CACHE_OFF = 14
    REMOTE_HANDSHAKE = 15
    SET_ALTERNATIVE_RESULT = 16
    RESET = 17
    RESTART = 18
    SESSION_END = 20
    STOP = 21
    GET_COMMAND_RESPONSE_SIZES = 25
    ACT_GET_SIGNALED = 26
    TEST_FAILURE_MODE = 30


_PLAIN: Final = Shape()
_COMMAND_SHAPES: Final[dict[int, Shape]] = {
    Code.SEND_COMMAND: Shape(1, sized=True),
    Code.HASH_START: _PLAIN,
    Code.HASH_DATA: Shape(sized=True),
    Code.HASH_END: _PLAIN,
    Code.REMOTE_HANDSHAKE: Shape(4),
    Code.SET_ALTERNATIVE_RESULT: Shape(4),
    Code.SESSION_END: _PLAIN,
    Code.STOP: _PLAIN,
}
# taken note of by nobody: this TPM has no such line, or nothing that depends on it
_IGNORED: Final = (
    Code.PHYS_PRES_ON,
    Code.PHYS_PRES_OFF,
    Code.CANCEL_ON,
    Code.CANCEL_OFF,
    Code.NV_ON,
    Code.NV_OFF,
    Code.KEY_CACHE_ON,
    Code.KEY_CACHE_OFF,
)
_ENDINGS: Final = {
    Code.SESSION_END: Reply(close=True),
    Code.STOP: Reply(close=True, end=True),
}


class CommandPort:
    """What every connection to the command port talks to."""

    pieces = True  # tpm2-tss does

    def __init__(self, service: TpmService) -> None:
        self._service: Final = service
        self._actions: Final[dict[int, Callable[[Request], bytes | None]]] = {
            Code.SEND_COMMAND: self._send_command,
            Code.HASH_START: lambda _: service.hash_start(),
            Code.HASH_DATA: lambda request: service.hash_data(request.data),
            Code.HASH_END: lambda _: service.hash_end(),
            Code.SET_ALTERNATIVE_RESULT: lambda _: None,
        }

    def answer(self, buffer: bytearray) -> Reply | None:
        """The next request; an unknown code ends the connection."""
        try:
            request = take_request(buffer, _COMMAND_SHAPES)
        except (KeyError, ProtocolError):
            return Reply(close=True)
        if request is None:
            return None
        if request.code in _ENDINGS:
            return _ENDINGS[Code(request.code)]
        if request.code == Code.REMOTE_HANDSHAKE:
            return _handshake(request.fixed)
        return Reply((self._actions[request.code](request) or b"") + _DONE)

    def give_up(self, buffer: bytearray) -> Reply | None:
        """Never: each length is announced."""
        return None

    def _send_command(self, request: Request) -> bytes:
        """Nothing at all comes from a TPM without power."""
        answer = b""
        if self._service.powered:
            answer = self._service.execute(request.data, request.fixed[0])
            self._service.note_sizes(request.data, answer)
        return len(answer).to_bytes(4, "big") + answer


class PlatformPort:
    """What every connection to the platform port talks to."""

    pieces = True  # tpm2-tss does

    def __init__(self, service: TpmService) -> None:
        self._actions: Final[dict[int, Callable[[], bytes | None]]] = {
            Code.POWER_ON: service.power_on,
            Code.POWER_OFF: service.power_off,
            Code.RESET: service.reset,
            Code.RESTART: service.reset,
            Code.TEST_FAILURE_MODE: service.fail,
            Code.GET_COMMAND_RESPONSE_SIZES: lambda: _sizes(service.take_sizes()),
            Code.ACT_GET_SIGNALED: lambda: bytes(4),  # it has no timers
            **dict.fromkeys(_IGNORED, lambda: None),
        }
        self._shapes: Final[dict[int, Shape]] = {
            **dict.fromkeys((*self._actions, *_ENDINGS), _PLAIN),
            Code.ACT_GET_SIGNALED: Shape(4),
        }

    def answer(self, buffer: bytearray) -> Reply | None:
        """The next request; an unknown code is answered with 1 before the end."""
        try:
            request = take_request(buffer, self._shapes)
        except KeyError:
            return Reply(_UNKNOWN, close=True)
        if request is None:
            return None
        if request.code in _ENDINGS:
            return _ENDINGS[Code(request.code)]
        return Reply((self._actions[request.code]() or b"") + _DONE)

    def give_up(self, buffer: bytearray) -> Reply | None:
        """Never: each request has one length."""
        return None


def _handshake(client_version: bytes) -> Reply:
    """A client of version 0 is none."""
    if client_version == bytes(4):
        return Reply(close=True)
    return Reply(_WORDS.pack(SERVER_VERSION, FLAGS) + _DONE)


def _sizes(largest: tuple[int, int, int, int]) -> bytes:
    return _SIZES.size.to_bytes(4, "big") + _SIZES.pack(*largest)
