"""A virtual machine as KVM keeps it: its memory, its processor, who has each page."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Self

from pefstack.firmware.ultravisor.codes import PAGE_SHIFT, PAGE_SIZE
from pefstack.hw.cpu import CpuState


class VmState(StrEnum):
    """KVM's own idea of a VM: `secure_guest` in Linux, and whether it still runs."""

    NORMAL = "normal"
    STARTING = "starting"
    SECURE = "secure"
    STOPPED = "stopped"


_STARTING, _SECURE = VmState.STARTING, VmState.SECURE


class PageOwner(StrEnum):
    """Who has a guest page, after KVM's book; a page that is not in it is normal."""

    ULTRAVISOR = "ultravisor"
    SHARED = "shared"
    PAGED_OUT = "paged out"


@dataclass(frozen=True, slots=True)
class MemorySlot:
    """A range of guest addresses with memory; ``start`` and ``size`` in bytes."""

    number: int
    start: int
    size: int

    @property
    def end(self) -> int:
        """The first guest address behind it."""
        return self.start + self.size


@dataclass(slots=True, kw_only=True)
class Vm:
    """One VM; its byte at guest address A is at real address ``base`` + A.

    ``size`` in bytes. ``slots`` cover the guest addresses that have memory; as long as
    nobody says otherwise, one covers all. ``pages`` is by page number (address >> 16).
    """

    lpid: int
    base: int
    size: int
    cpus: int = 1
    cpu: CpuState = field(default_factory=CpuState)
    state: VmState = VmState.NORMAL
    slots: tuple[MemorySlot, ...] = ()
    pages: dict[int, PageOwner] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.slots = self.slots or (MemorySlot(0, 0, self.size),)

    @property
    def is_started(self) -> bool:
        """Whether the ultravisor said that this VM becomes, or is, a secure one."""
        return self.state is _STARTING or self.state is _SECURE

    def holds(self, gpa: int, size: int) -> bool:
        """Whether so many bytes from a guest address on lie in one slot."""
        for slot in self.slots:
            if slot.start <= gpa and gpa + size <= slot.start + slot.size:
                return True
        return False

    def real(self, gpa: int) -> int:
        """The real address of a guest address."""
        return self.base + gpa

    def page_numbers(self) -> list[int]:
        """The number of every page that has memory, in ascending order."""
        ranges = sorted((each.start, each.end) for each in self.slots)
        return [n for start, end in ranges for n in _numbers(start, end)]

    def count(self, owner: PageOwner) -> int:
        """How many pages that one has."""
        return list(self.pages.values()).count(owner)

    def fork(self) -> Self:
        """The same VM with a future of its own."""
        return replace(self, cpu=self.cpu.fork(), pages=dict(self.pages))


def _numbers(start: int, end: int) -> range:
    return range(start >> PAGE_SHIFT, (end + PAGE_SIZE - 1) >> PAGE_SHIFT)
