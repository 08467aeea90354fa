"""Memory with owners: secure pages, and what a hypervisor can reach (esm.md 3.3).

Real addresses with `SECURE_BIT` lie in secure memory. Only the ultravisor reaches it;
it hands out whole pages of 64 KiB and zeroes them when they come back.
"""

from __future__ import annotations

from typing import Final

from pefstack.hw.errors import DeviceError
from pefstack.hw.memory import PAGE_SIZE, Memory

SECURE_BIT: Final = 0x0001_0000_0000_0000  # bit 15
DEFAULT_SIZE: Final = 2 << 30


class SecureFault(DeviceError):
    """Software without the right touched secure memory; it got nothing."""


class SecureMemory:
    """``size`` bytes of secure memory; addresses have `SECURE_BIT`.

    The first ``reserved`` bytes are firmware's own and are never handed out.
    """

    __slots__ = ("_freed", "_memory", "_next", "_used", "reserved")

    def __init__(self, size: int = DEFAULT_SIZE, *, reserved: int = PAGE_SIZE) -> None:
        self._memory = Memory(size)
        self._next = self.reserved = reserved
        self._freed: list[int] = []
        self._used: set[int] = set()

    @property
    def size(self) -> int:
        """In bytes, the reserved part included."""
        return self._memory.size

    @property
    def free_pages(self) -> int:
        """How many pages can still be handed out."""
        return (self.size - self._next) // PAGE_SIZE + len(self._freed)

    @property
    def used_pages(self) -> int:
        """How many pages are handed out."""
        return len(self._used)

    def allocate(self) -> int:
        """The address of a page of zeros; `DeviceError` when there is none."""
        page = self._next
        if self._freed:
            page = self._freed.pop()
        elif page + PAGE_SIZE <= self._memory.size:
            self._next = page + PAGE_SIZE
        else:
            raise DeviceError("secure memory", page, "no free page")
        self._used.add(page)
        return page | SECURE_BIT

    def free(self, address: int) -> None:
        """Zero a page and take it back; `DeviceError` if it is not handed out."""
        page = address & ~SECURE_BIT
        if not address & SECURE_BIT or page not in self._used:
            raise DeviceError("secure memory", address, "no page that is handed out")
        self._memory.blank(page, PAGE_SIZE)
        self._used.remove(page)
        self._freed.append(page)

    def free_all(self) -> None:
        """Zero and take back every page: nobody is left who had them."""
        for page in list(self._used):
            self.free(page | SECURE_BIT)

    def read(self, address: int, size: int) -> bytes:
        """``size`` bytes; `DeviceError` outside."""
        return self._memory.read(self._offset(address), size)

    def page(self, address: int) -> bytes | memoryview:
        """The page at an address, as `Memory.page`."""
        return self._memory.page(self._offset(address))

    def put_page(self, address: int, page: bytes | memoryview) -> None:
        """Write a page of any memory, as `Memory.put_page`."""
        self._memory.put_page(self._offset(address), page)

    def write(self, address: int, data: bytes | memoryview) -> None:
        """Write ``data``; `DeviceError` outside."""
        self._memory.write(self._offset(address), data)

    def clear(self) -> None:
        """Forget everything, as without power."""
        self._memory.clear()
        self._next, self._freed, self._used = self.reserved, [], set()

    def fork(self) -> SecureMemory:
        """The same bytes, with a future of their own."""
        other = SecureMemory.__new__(SecureMemory)
        other._memory = self._memory.fork()
        other._next, other.reserved = self._next, self.reserved
        other._freed, other._used = list(self._freed), set(self._used)
        return other

    def _offset(self, address: int) -> int:
        if not address & SECURE_BIT:
            raise DeviceError("secure memory", address, "not a secure address")
        return address & ~SECURE_BIT


class HypervisorMemory:
    """Main memory as the hypervisor reaches it: secure addresses fault."""

    __slots__ = ("_memory",)

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    @property
    def size(self) -> int:
        """In bytes, without secure memory."""
        return self._memory.size

    def read(self, address: int, size: int) -> bytes:
        """``size`` bytes; `SecureFault`, or `DeviceError` outside the memory."""
        _check_normal(address, size)
        return self._memory.read(address, size)

    def write(self, address: int, data: bytes | memoryview) -> None:
        """Write; `SecureFault`, or `DeviceError` outside the memory."""
        _check_normal(address, len(data))
        self._memory.write(address, data)

    def blank(self, address: int, size: int) -> None:
        """Zero whole pages; errors as `write`, and for what is no whole page."""
        _check_normal(address, size)
        self._memory.blank(address, size)


def _check_normal(address: int, size: int) -> None:
    if (address | address + max(size, 1) - 1) & SECURE_BIT:
        raise SecureFault("memory", address, "secure memory is not the hypervisor's")
