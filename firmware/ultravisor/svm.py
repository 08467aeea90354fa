"""What the ultravisor keeps of a VM: its record, slots and pages (esm.md 3.2, 3.3)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Final

from pefstack.firmware.ultravisor.codes import PAGE_SHIFT, PAGE_SIZE

if TYPE_CHECKING:
    from pefstack.firmware.ultravisor.files import ServedFiles

MAX_SLOTS: Final = 512


class SvmState(StrEnum):
    """A VM without a record is a normal one."""

    ACTIVE = "in transition"
    ABORT = "abort"
    SECURE = "secure"


class PageState(IntEnum):
    """Of a 64 KiB page; what was never spoken of is `SECURE`."""

    SECURE = 0
    PAGEDOUT = 1
    SHARED = 2
    SHARED_INV = 3
    SHARED_IMPLICIT = 4
    SHARED_IMPLICIT_INV = 5
    HV_SHARING = 6
    HV_SHARED = 7
    HV_SHARED_INV = 8
    HV_UNSHARING = 9
    HV_UNSHARING_INV = 10
    HV_UNSHARED = 11
    PSEUDO_SHARED = 12
    PSEUDO_SHARED_INV = 13


@dataclass(slots=True)
class GuestPage:
    """``secure``: real address of its secure page, 0 is none yet. ``normal``: that of
    the hypervisor's page, while they share it."""

    state: PageState = PageState.SECURE
    secure: int = 0
    normal: int = 0


@dataclass(frozen=True, slots=True)
class MemorySlot:
    """Guest physical memory, in bytes; whole pages."""

    start: int
    size: int

    @property
    def pages(self) -> range:
        """The numbers of its pages."""
        return range(self.start >> PAGE_SHIFT, (self.start + self.size) >> PAGE_SHIFT)


@dataclass(slots=True, kw_only=True)
class Svm:
    """The record of one VM from UV_ESM on.

    ``lost``: pages that were the guest's and are gone: none of them comes in again, a
    VM without them does not become secure, and a touch ends a secure one.
    ``own``: secure pages that hold what the ultravisor keeps about it.
    ``rtas_buffer``: guest address of the page that it shares to make RTAS calls.
    ``private``: pages whose record no fork shares; `page` gives those to be changed.
    """

    lpid: int
    state: SvmState = SvmState.ACTIVE
    slots: dict[int, MemorySlot] = field(default_factory=dict)
    pages: dict[int, GuestPage] = field(default_factory=dict)
    private: set[int] = field(default_factory=set, repr=False, compare=False)
    lost: set[int] = field(default_factory=set)
    own: list[int] = field(default_factory=list)
    rtas_buffer: int = 0
    files: ServedFiles | None = field(default=None, repr=False)

    def has_page(self, gfn: int) -> bool:
        """Whether a slot has this page, and it was never taken away."""
        if gfn in self.lost:
            return False
        address = gfn << PAGE_SHIFT
        for slot in self.slots.values():
            if slot.start <= address < slot.start + slot.size:
                return True
        return False

    def page(self, gfn: int) -> GuestPage:
        """Its record, to be changed; made when it is asked for."""
        if gfn in self.private:
            return self.pages[gfn]
        found = self.pages.get(gfn)
        found = GuestPage() if found is None else replace(found)
        self.pages[gfn] = found
        self.private.add(gfn)
        return found

    def fork(self) -> Svm:
        """The same record with a future of its own.

        Records of pages are shared until one side changes one.
        """
        self.private.clear()
        return replace(
            self,
            slots=dict(self.slots),
            pages=dict(self.pages),
            private=set(),
            lost=set(self.lost),
            own=list(self.own),
            files=self.files.fork() if self.files else None,
        )


def gfns(address: int, length: int) -> range:
    """The pages that a range of guest addresses touches; none for no bytes."""
    if length <= 0:
        return range(0)
    return range(address >> PAGE_SHIFT, ((address + length - 1) >> PAGE_SHIFT) + 1)


def round_up(value: int) -> int:
    """To whole pages."""
    return (value + PAGE_SIZE - 1) // PAGE_SIZE * PAGE_SIZE
