"""A hypervisor with a gate that only records: what KVM asks the ultravisor for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pefstack.firmware.hypervisor.kvm import Hypervisor
from pefstack.firmware.hypervisor.vm import Vm
from pefstack.firmware.ultravisor.codes import PAGE_SIZE, HCall, HStatus, UvCall
from pefstack.hw.errors import DeviceError
from pefstack.hw.journal import Journal
from pefstack.hw.memory import Memory
from pefstack.hw.secure_memory import HypervisorMemory

Call = tuple[int, ...]
SIZE = 8 * PAGE_SIZE


@dataclass
class Gate:
    """Answers U_SUCCESS, but for the calls in `refused`, given by number or whole."""

    calls: list[Call] = field(default_factory=list)
    refused: dict[int | Call, int] = field(default_factory=dict)

    def __call__(self, *words: int) -> tuple[int, ...]:
        self.calls.append(words)
        by_number = self.refused.get(words[0], 0)
        return (self.refused.get(words, by_number),)

    def made(self, call: UvCall) -> list[Call]:
        """The arguments of every call of this number, in order."""
        return [words[1:] for words in self.calls if words[0] == call]


@dataclass
class Tpm:
    """A TPM that answers with its `response`, or is dead."""

    response: bytes = b""
    dead: bool = False
    commands: list[bytes] = field(default_factory=list)

    def execute(self, command: bytes) -> bytes:
        self.commands.append(command)
        if self.dead:
            raise DeviceError("tpm", 0, "no power")
        return self.response


@dataclass
class Kvm:
    """A host with one VM of eight pages, page N full of the byte 0x10 + N."""

    size: int = SIZE
    memory: Memory = field(default_factory=lambda: Memory(1 << 32))
    gate: Gate = field(default_factory=Gate)
    tpm: Tpm = field(default_factory=Tpm)
    journal: Journal = field(default_factory=Journal)
    hypervisor: Hypervisor = field(init=False)
    vm: Vm = field(init=False)

    def __post_init__(self) -> None:
        memory = HypervisorMemory(self.memory)
        self.hypervisor = Hypervisor(memory, self.tpm, self.journal)
        self.hypervisor.gate = self.gate
        self.vm = self.hypervisor.create_vm(self.size, 1)
        for number in range(self.size // PAGE_SIZE):
            self.memory.write(self.vm.base + number * PAGE_SIZE, content(number))

    def call(self, number: HCall, *args: int) -> tuple[int, ...]:
        """A hypercall of the ultravisor's for the VM."""
        return self.hypervisor.hypercall(self.vm.lpid, number, args)

    def started(self) -> Kvm:
        """After H_SVM_INIT_START, its ultra-calls forgotten."""
        assert self.call(HCall.SVM_INIT_START) == (HStatus.SUCCESS,)
        self.gate.calls.clear()
        return self

    def secure(self) -> Kvm:
        """After H_SVM_INIT_DONE as well."""
        assert self.started().call(HCall.SVM_INIT_DONE) == (HStatus.SUCCESS,)
        self.gate.calls.clear()
        return self

    def page(self, number: int) -> bytes:
        """What lies in the normal page of a guest page."""
        return self.memory.read(self.vm.base + number * PAGE_SIZE, PAGE_SIZE)

    def kinds(self) -> list[str]:
        """The kinds of all events."""
        return [each.kind for each in self.journal]


def content(number: int) -> bytes:
    """What page N has at first."""
    return bytes([0x10 + number]) * PAGE_SIZE


def gfns(calls: Sequence[Call]) -> list[int]:
    """The page numbers of UV_PAGE_IN and UV_PAGE_OUT."""
    return [gpa // PAGE_SIZE for _lpid, _real, gpa, *_ in calls]
