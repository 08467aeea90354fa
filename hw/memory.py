"""Main memory: sparse pages of 64 KiB, copied when written."""

from __future__ import annotations

from typing import Final

from pefstack.hw.errors import DeviceError

PAGE_SIZE: Final = 0x10000
BLANK_PAGE: Final = bytes(PAGE_SIZE)

Page = bytes | bytearray | memoryview


class Memory:
    """Bytes at physical addresses from 0 to ``size``; what was never written is zero.

    Whole pages are kept as slices of what was written, so that loading 16 MiB copies
    nothing. A fork copies only the page table; a page is private to one memory from
    its next partial write on.
    """

    __slots__ = ("_pages", "_private", "size")

    def __init__(self, size: int) -> None:
        self.size = size
        self._pages: dict[int, Page] = {}
        self._private: set[int] = set()  # pages that no other memory can see

    def read(self, address: int, size: int) -> bytes:
        """``size`` bytes; `DeviceError` outside the memory."""
        self._check(address, size)
        parts, end = [], address + size
        while address < end:
            number, offset = divmod(address, PAGE_SIZE)
            part = self._pages.get(number, BLANK_PAGE)[offset : offset + end - address]
            parts.append(part)
            address += len(part)
        return b"".join(parts)

    def page(self, address: int) -> bytes | memoryview:
        """The page at a multiple of 64 KiB; what is written later stays out of it.

        Nothing is copied: `put_page` of another memory may keep it.
        """
        self._check(address, PAGE_SIZE)
        number = address // PAGE_SIZE
        page = self._pages.get(number, BLANK_PAGE)
        if isinstance(page, bytearray):
            page = self._pages[number] = bytes(page)
            self._private.discard(number)
        return page

    def put_page(self, address: int, page: bytes | memoryview) -> None:
        """Write a page that `page` gave; a blank one takes no room."""
        self._check(address, PAGE_SIZE)
        number = address // PAGE_SIZE
        self._private.discard(number)
        if page is BLANK_PAGE:
            self._pages.pop(number, None)
        else:
            self._pages[number] = page

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        """Write ``data``; `DeviceError` outside the memory."""
        self._check(address, len(data))
        view = memoryview(data)
        if not view.readonly:
            view = memoryview(bytes(view))
        while view:
            number, offset = divmod(address, PAGE_SIZE)
            part = view[: PAGE_SIZE - offset]
            self._put(number, offset, part)
            address += len(part)
            view = view[len(part) :]

    def blank(self, address: int, size: int) -> None:
        """Whole pages become zeros again; `DeviceError` for other places."""
        self._check(address, size)
        if address % PAGE_SIZE or size % PAGE_SIZE:
            raise DeviceError("memory", address, f"0x{size:x} bytes are no whole pages")
        for number in range(address // PAGE_SIZE, (address + size) // PAGE_SIZE):
            self._pages.pop(number, None)
            self._private.discard(number)

    def clear(self) -> None:
        """Forget everything, as without power."""
        self._pages, self._private = {}, set()

    def fork(self) -> Memory:
        """The same bytes, with a future of their own."""
        other = Memory(self.size)
        other._pages = dict(self._pages)
        self._private.clear()
        return other

    def __getstate__(self) -> tuple[int, dict[int, bytes]]:
        return self.size, {number: bytes(page) for number, page in self._pages.items()}

    def __setstate__(self, state: tuple[int, dict[int, bytes]]) -> None:
        self.size, pages = state
        self._pages, self._private = dict(pages), set()

    def _put(self, number: int, offset: int, part: memoryview) -> None:
        if len(part) == PAGE_SIZE:
            self._pages[number] = part
            self._private.discard(number)
            return
        page = self._pages.get(number, BLANK_PAGE)
        if number not in self._private or not isinstance(page, bytearray):
            page = self._pages[number] = bytearray(page)
            self._private.add(number)
        page[offset : offset + len(part)] = part

    def _check(self, address: int, size: int) -> None:
        if address < 0 or size < 0 or address + size > self.size:
            raise DeviceError("memory", address, f"no {size} bytes at this address")
