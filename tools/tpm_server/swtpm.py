"""The protocol of swtpm: data and control port (tpm.md 8)."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from struct import Struct
from typing import Final

from pefstack.hw.tpm.codes import HEADER_SIZE, LOCALITY_COUNT, MAX_COMMAND_SIZE
from pefstack.tools.tpm_server.framing import (
    ProtocolError,
    Reply,
    Request,
    Shape,
    take_request,
)
from pefstack.tools.tpm_server.service import TpmService

MIN_BUFFER_SIZE: Final = (
    2808  # what swtpm calls its minimum; ours is always the maximum
)
DELETE_VOLATILE: Final = 1  # flag of INIT: the stored state is used once
_BUFFER_SIZES: Final = Struct(">III")
_SUCCESS: Final = bytes(4)


class Code(IntEnum):
    """tpm_ioctl.h of swtpm, those that this server knows."""

    GET_CAPABILITY = 1
    INIT = 2
    SHUTDOWN = 3
    GET_TPMESTABLISHED = 4
    SET_LOCALITY = 5
    HASH_START = 6
    HASH_DATA = 7
    HASH_END = 8
    CANCEL_TPM_CMD = 9
    STORE_VOLATILE = 10
    RESET_TPMESTABLISHED = 11
    STOP = 14
    GET_CONFIG = 15
    SET_BUFFERSIZE = 17


class Result(IntEnum):
    """The first word of each answer."""

    SUCCESS = 0
    BAD_PARAMETER = 0x03
    BAD_ORDINAL = 0x0A
    BAD_LOCALITY = 0x3D


_PLAIN: Final = Shape()
_SHAPES: Final[dict[int, Shape]] = {
    **dict.fromkeys(Code, _PLAIN),
    Code.INIT: Shape(4),
    Code.SET_LOCALITY: Shape(1),
    Code.HASH_DATA: Shape(sized=True),
    Code.RESET_TPMESTABLISHED: Shape(1),
    Code.SET_BUFFERSIZE: Shape(4),
}
# answered with BAD_ORDINAL while the TPM is stopped, as swtpm does
_NEEDS_POWER: Final = frozenset(
    (
        Code.GET_TPMESTABLISHED,
        Code.HASH_START,
        Code.HASH_DATA,
        Code.HASH_END,
        Code.CANCEL_TPM_CMD,
        Code.STORE_VOLATILE,
        Code.RESET_TPMESTABLISHED,
    )
)
# bits of GET_CAPABILITY; HASH_START stands for all three
_FLAGS: Final = {
    Code.INIT: 1 << 0,
    Code.SHUTDOWN: 1 << 1,
    Code.GET_TPMESTABLISHED: 1 << 2,
    Code.SET_LOCALITY: 1 << 3,
    Code.HASH_START: 1 << 4,
    Code.CANCEL_TPM_CMD: 1 << 5,
    Code.STORE_VOLATILE: 1 << 6,
    Code.RESET_TPMESTABLISHED: 1 << 7,
    Code.STOP: 1 << 10,
    Code.GET_CONFIG: 1 << 11,
    Code.SET_BUFFERSIZE: 1 << 13,
}
CAPABILITIES: Final = sum(_FLAGS.values())

Outcome = bytes | Result | None
"""What follows the result 0, or another result; None: nothing follows."""


class DataPort:
    """The data port: commands, with nothing around them."""

    pieces = False

    def __init__(self, service: TpmService) -> None:
        self._service: Final = service

    def answer(self, buffer: bytearray) -> Reply | None:
        """All that has come is one command, once it is as long as it says.

        So does swtpm: what stands behind a command makes its size wrong.
        """
        if len(buffer) < HEADER_SIZE:
            return None
        size = int.from_bytes(buffer[2:6], "big")
        if len(buffer) < size <= MAX_COMMAND_SIZE:
            return None
        return self._execute(buffer)

    def give_up(self, buffer: bytearray) -> Reply | None:
        """A command whose rest does not come is executed as it is."""
        return self._execute(buffer) if len(buffer) >= HEADER_SIZE else None

    def _execute(self, buffer: bytearray) -> Reply:
        command = bytes(buffer)
        buffer.clear()
        return Reply(self._service.execute(command, self._service.locality))


class ControlPort:
    """What every connection to the control port talks to."""

    pieces = False

    def __init__(self, service: TpmService) -> None:
        self._service: Final = service
        self._actions: Final[dict[int, Callable[[Request], Outcome]]] = {
            Code.GET_CAPABILITY: lambda _: bytes(2) + CAPABILITIES.to_bytes(2, "big"),
            Code.INIT: self._init,
            Code.SHUTDOWN: lambda _: None,
            Code.GET_TPMESTABLISHED: lambda _: bytes((service.established(), 0, 0, 0)),
            Code.SET_LOCALITY: self._set_locality,
            Code.HASH_START: lambda _: service.hash_start(),
            Code.HASH_DATA: lambda request: service.hash_data(request.data),
            Code.HASH_END: lambda _: service.hash_end(),
            Code.CANCEL_TPM_CMD: lambda _: None,  # none runs while this is read
            Code.STORE_VOLATILE: lambda _: service.store_volatile(),
            Code.RESET_TPMESTABLISHED: self._reset_established,
            Code.STOP: lambda _: service.power_off(),
            Code.GET_CONFIG: lambda _: bytes(4),
            Code.SET_BUFFERSIZE: self._set_buffer_size,
        }

    def answer(self, buffer: bytearray) -> Reply | None:
        """The next request; behind an unknown code nothing can be understood."""
        try:
            request = take_request(buffer, _SHAPES)
        except KeyError:
            buffer.clear()
            return _reply(Result.BAD_ORDINAL)
        except ProtocolError:
            return Reply(_reply(Result.BAD_PARAMETER).raw, close=True)
        if request is None:
            return None
        if request.code in _NEEDS_POWER and not self._service.powered:
            return _reply(Result.BAD_ORDINAL)
        reply = _reply(self._actions[request.code](request))
        return Reply(reply.raw, close=True, end=True) if _ends(request) else reply

    def give_up(self, buffer: bytearray) -> Reply | None:
        """Never: swtpm, too, waits for a body."""
        return None

    def _init(self, request: Request) -> None:
        flags = int.from_bytes(request.fixed, "big")
        self._service.init(forget=bool(flags & DELETE_VOLATILE))

    def _set_locality(self, request: Request) -> Outcome:
        if request.fixed[0] >= LOCALITY_COUNT:
            return Result.BAD_LOCALITY
        self._service.locality = request.fixed[0]
        return None

    def _reset_established(self, request: Request) -> Outcome:
        if self._service.reset_established(request.fixed[0]):
            return None
        return Result.BAD_LOCALITY

    def _set_buffer_size(self, request: Request) -> Outcome:
        """Asked with 0. Only a stopped TPM may be set, and ours keeps its size."""
        if request.fixed != bytes(4) and self._service.powered:
            return Result.BAD_ORDINAL
        sizes = MAX_COMMAND_SIZE, MIN_BUFFER_SIZE, MAX_COMMAND_SIZE
        return _BUFFER_SIZES.pack(*sizes)


def _reply(outcome: Outcome) -> Reply:
    if isinstance(outcome, Result):
        return Reply(outcome.to_bytes(4, "big"))
    return Reply(_SUCCESS + (outcome or b""))


def _ends(request: Request) -> bool:
    return request.code == Code.SHUTDOWN
