"""A processor thread as calls between software see it: registers, machine state.

Power ISA 3.0C, book III: MSR bits and `sc`; the S bit is PEF's (bit 41).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from pefstack.hw.chip import MSR_HV, MSR_S

MSR_SF: Final = 0x8000_0000_0000_0000  # 64-bit mode
MSR_EE: Final = 0x8000  # external interrupts
MSR_PR: Final = 0x4000  # problem state
MSR_LE: Final = 0x0001  # little-endian
GPR_COUNT: Final = 32
INSTRUCTION_SIZE: Final = 4
WORD_MASK: Final = (1 << 64) - 1


class Level(StrEnum):
    """Who runs: S and HV together are the ultravisor's; PR is a user's program."""

    ULTRAVISOR = "ultravisor"
    HYPERVISOR = "hypervisor"
    SECURE_GUEST = "secure guest"
    GUEST = "guest"
    USER = "user"


@dataclass(slots=True)
class CpuState:
    """One thread; ``nia`` is the address of the next instruction.

    ``gpr`` does not print: registers of a secure VM hold what it reads of its secrets.
    """

    msr: int = MSR_SF
    nia: int = 0
    gpr: list[int] = field(default_factory=lambda: [0] * GPR_COUNT, repr=False)
    srr0: int = 0
    srr1: int = 0
    pid: int = 0  # of the process that runs

    @property
    def level(self) -> Level:
        """The privilege that MSR S, HV and PR give."""
        return level_of(self.msr)

    def set_result(self, *values: int) -> None:
        """Results of a call: r3, then r4 and on; negative ones in two's complement."""
        for number, value in enumerate(values, 3):
            self.gpr[number] = value & WORD_MASK

    def fork(self) -> CpuState:
        """The same registers with a future of their own."""
        return replace(self, gpr=list(self.gpr))


def level_of(msr: int) -> Level:
    """The privilege of a machine state (ISA 3.0C book III, chapter 2)."""
    if msr & MSR_PR:
        return Level.USER
    if msr & MSR_HV:
        return Level.ULTRAVISOR if msr & MSR_S else Level.HYPERVISOR
    return Level.SECURE_GUEST if msr & MSR_S else Level.GUEST


def signed(value: int) -> int:
    """A register's value as a signed number of 64 bits."""
    value &= WORD_MASK
    return value - (1 << 64) if value >> 63 else value
