"""ibm,os-term: how a guest says that it cannot go on (Linux, prom_rtas_os_term)."""

from __future__ import annotations

import struct
from typing import Final, Protocol

from pefstack.images.rtas import OS_TERM_TOKEN

MESSAGE: Final = "Switch to secure mode failed.\n"
BUFFER_SIZE: Final = 0x40  # room for the arguments, in front of the message

_ARGUMENTS: Final = struct.Struct(">5I")  # token, 1 argument, 1 result, both of them


class _Memory(Protocol):
    def write(self, gpa: int, data: bytes, /) -> None: ...


def write_call(memory: _Memory, at: int) -> None:
    """The argument buffer of H_RTAS at a guest address, the message behind it."""
    text_at = at + BUFFER_SIZE
    arguments = _ARGUMENTS.pack(OS_TERM_TOKEN, 1, 1, text_at, 0)
    text = MESSAGE.encode("ascii") + b"\0"
    memory.write(at, arguments.ljust(BUFFER_SIZE, b"\0") + text)
