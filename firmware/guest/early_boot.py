"""The early boot of a Linux guest, after prom_init: a state machine without code.

The guest runs until it needs somebody: it then asks for an `Sc`, and goes on from its
registers when it is run again. `sc 2` with UV_ESM comes back either at the next
instruction, with a status, or, in secure mode, at kbase (esm.md 2.1, step 23).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, Protocol, Self

from pefstack.firmware.guest.command_line import (
    DEFAULT_NAMES,
    asks_for_secure_mode,
    secret_names,
)
from pefstack.firmware.guest.os_term import write_call
from pefstack.firmware.guest.place import HEAP_SIZE, Placement
from pefstack.firmware.guest.reading import Reading, Taken
from pefstack.firmware.ultravisor.codes import HCall, UvCall
from pefstack.hw.chip import MSR_S
from pefstack.hw.cpu import MSR_LE, MSR_SF, CpuState, signed
from pefstack.hw.journal import Journal

SOURCE: Final = "guest"
HYPERCALL: Final = 1
ULTRACALL: Final = 2
CALL_OFFSET: Final = 0x40  # of the modelled `sc` from kbase


@dataclass(frozen=True, slots=True)
class Sc:
    """The guest executes ``sc level``: 1 is a hypercall, 2 an ultra-call.

    The program counter is at that instruction; who serves the call returns behind it.
    """

    level: int


class Phase(StrEnum):
    """How far a guest is."""

    ENTRY = "entry"
    ASKED = "asked for secure mode"
    READING = "reads its secrets"
    TERMINATING = "called ibm,os-term"
    RUNNING = "running"
    STOPPED = "stopped"


class GuestMemory(Protocol):
    """The guest's memory as it sees it itself, secure or not."""

    def read(self, gpa: int, size: int, /) -> bytes:
        """``size`` bytes from a guest address on."""
        ...

    def write(self, gpa: int, data: bytes, /) -> None:
        """Write ``data`` from a guest address on."""
        ...


@dataclass(slots=True, kw_only=True)
class EarlyBoot:
    """A guest from its entry until Linux itself would go on.

    ``secure``: whether it runs as a secure VM. ``secrets``: where in its memory each
    secret lies, by name; their bytes are nowhere else. ``message``: what it last said.
    """

    placement: Placement
    phase: Phase = Phase.ENTRY
    secure: bool = False
    secrets: dict[str, range] = field(default_factory=dict)
    message: str = ""
    reading: Reading = field(init=False)

    def __post_init__(self) -> None:
        heap = self.placement.heap
        names = secret_names(self.placement.bootargs)
        self.reading = Reading(waiting=names, at=heap, end=heap + HEAP_SIZE)

    def start(self, cpu: CpuState) -> None:
        """The registers at the kernel's entry: 64-bit, little-endian, real mode."""
        cpu.msr, cpu.nia = MSR_SF | MSR_LE, self.placement.kbase
        cpu.gpr[3:6] = [self.placement.fdt_address, self.placement.kbase, 0]

    def run(self, cpu: CpuState, memory: GuestMemory, journal: Journal) -> Sc | None:
        """Run until the next `sc`; None when it runs on without one, or is over."""
        if self.phase is Phase.ENTRY:
            return self._enter(cpu, journal)
        if self.phase is Phase.ASKED:
            return self._after_esm(cpu, memory, journal)
        if self.phase is Phase.READING:
            return self._after_part(cpu, memory, journal)
        if self.phase is Phase.TERMINATING:
            self.phase = Phase.STOPPED  # Linux would loop for ever
        return None

    def fork(self) -> Self:
        """The same guest with a future of its own."""
        other = replace(self, secrets=dict(self.secrets))
        other.reading = self.reading.fork()
        return other

    def _enter(self, cpu: CpuState, journal: Journal) -> Sc | None:
        place = self.placement
        if not asks_for_secure_mode(place.bootargs):
            return self._go_on(journal)
        journal.add(SOURCE, "esm-call", kbase=place.kbase, fdt=place.fdt_address)
        self.phase = Phase.ASKED
        cpu.gpr[3:6] = [UvCall.ESM, place.kbase, place.fdt_address]
        return self._sc(cpu, ULTRACALL)

    def _after_esm(
        self, cpu: CpuState, memory: GuestMemory, journal: Journal
    ) -> Sc | None:
        """As Linux: a status of 0 without the S bit is a VM that is not secure."""
        status, is_secure = signed(cpu.gpr[3]), bool(cpu.msr & MSR_S)
        entered = is_secure and cpu.nia == self.placement.kbase
        if not entered and status:
            return self._terminate(cpu, memory, journal, status)
        if not is_secure:
            return self._go_on(journal)
        self.secure, self.phase = True, Phase.READING
        journal.add(SOURCE, "secure", kbase=self.placement.kbase)
        return self._ask(cpu, journal)

    def _terminate(
        self, cpu: CpuState, memory: GuestMemory, journal: Journal, status: int
    ) -> Sc:
        self.message = f"Returned {status} from switching to secure mode."
        journal.add(SOURCE, "console", text=self.message)
        heap = self.placement.heap
        write_call(memory, heap)
        self.phase = Phase.TERMINATING
        cpu.gpr[3:5] = [HCall.RTAS, heap]
        return self._sc(cpu, HYPERCALL)

    def _after_part(
        self, cpu: CpuState, memory: GuestMemory, journal: Journal
    ) -> Sc | None:
        status, name = signed(cpu.gpr[3]), self.reading.waiting[0]
        taken = self.reading.take(cpu, memory)
        if taken is Taken.END:
            place = self.secrets[name] = self.reading.next()
            journal.add(SOURCE, "secret-read", name=name, size=len(place))
        elif taken is not Taken.PART:
            self.reading.next()
            if name not in DEFAULT_NAMES:  # these need not be there
                why = status if taken is Taken.REFUSED else taken.value
                journal.add(SOURCE, "secret-refused", name=name, why=why)
        return self._ask(cpu, journal)

    def _ask(self, cpu: CpuState, journal: Journal) -> Sc | None:
        if not self.reading.waiting:
            return self._go_on(journal)
        self.reading.ask(cpu)
        return self._sc(cpu, ULTRACALL)

    def _go_on(self, journal: Journal) -> Sc | None:
        self.phase = Phase.RUNNING
        mode = "secure" if self.secure else "normal"
        journal.add(SOURCE, "running", mode=mode)
        return None

    def _sc(self, cpu: CpuState, level: int) -> Sc:
        cpu.nia = self.placement.kbase + CALL_OFFSET
        return Sc(level)
