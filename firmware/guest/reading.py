"""UV_ESMB_GET_FILE from the guest's side: a secret comes 64 bytes a call (esm.md 3.5).

What comes goes from the registers straight into the guest's memory; no value here ever
holds a byte of it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, Protocol, Self

from pefstack.firmware.guest.command_line import MAX_NAME_SIZE
from pefstack.firmware.ultravisor.codes import UvCall
from pefstack.hw.cpu import CpuState, signed

CHUNK_SIZE: Final = 64  # bytes, in r4 to r11
_REGISTERS: Final = struct.Struct(">8Q")
_CHUNK: Final = slice(4, 12)
_NAME: Final = slice(5, 13)


class Taken(Enum):
    """What an answer was."""

    PART = "part"
    END = "end"
    REFUSED = "refused"
    NO_ROOM = "no room"


class _Memory(Protocol):
    def write(self, gpa: int, data: bytes, /) -> None: ...


@dataclass(slots=True, kw_only=True)
class Reading:
    """The secrets still to be asked for, the first one being read.

    Of that one ``size`` bytes are there, from guest address ``at`` on; ``end`` is where
    the room for secrets ends.
    """

    waiting: tuple[str, ...]
    at: int
    end: int
    size: int = 0

    def ask(self, cpu: CpuState) -> None:
        """The registers of the next call."""
        name = self.waiting[0].encode().ljust(MAX_NAME_SIZE, b"\0")
        cpu.gpr[3:5] = [UvCall.ESMB_GET_FILE, self.size]
        cpu.gpr[_NAME] = _REGISTERS.unpack(name)

    def take(self, cpu: CpuState, memory: _Memory) -> Taken:
        """The answer, out of the registers and into memory; they are zeroed."""
        count = signed(cpu.gpr[3])
        chunk = _REGISTERS.pack(*cpu.gpr[_CHUNK])
        cpu.gpr[_CHUNK] = [0] * 8
        if not 0 <= count <= CHUNK_SIZE:
            return Taken.REFUSED
        if self.at + self.size + count > self.end:
            return Taken.NO_ROOM
        if not count:
            return Taken.END
        memory.write(self.at + self.size, chunk[:count])
        self.size += count
        return Taken.PART

    def next(self) -> range:
        """Go on to the next name; where the bytes of this one lie."""
        place = range(self.at, self.at + self.size)
        self.waiting, self.at, self.size = self.waiting[1:], place.stop, 0
        return place

    def fork(self) -> Self:
        """The same moment, with a future of its own."""
        return replace(self)
