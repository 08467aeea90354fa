"""A VM's memory as its ultravisor sees it, through the page map (esm.md 3.3)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from pefstack.firmware.ultravisor.codes import PAGE_SHIFT, PAGE_SIZE
from pefstack.firmware.ultravisor.svm import PageState, Svm, SvmState
from pefstack.hw.errors import DeviceError

if TYPE_CHECKING:
    from pefstack.firmware.ultravisor.ultravisor import Ultravisor

OWN: Final = frozenset({PageState.SECURE, PageState.PSEUDO_SHARED})
NORMAL: Final = frozenset({PageState.SHARED, PageState.SHARED_IMPLICIT})


def read_own(uv: Ultravisor, svm: Svm, address: int, size: int) -> bytes:
    """Bytes of secure pages; empty when one of them is not there, or is shared."""
    parts = []
    for gfn, offset, count in pieces(address, size):
        secure = own_page(svm, gfn)
        if not secure:
            return b""
        parts.append(_piece(uv, secure, offset, count))
    return b"".join(parts)


def hash_own(uv: Ultravisor, svm: Svm, address: int, size: int) -> bytes:
    """SHA-512 of bytes of secure pages; empty as `read_own`."""
    digest = hashlib.sha512()
    for gfn, offset, count in pieces(address, size):
        secure = own_page(svm, gfn)
        if not secure:
            return b""
        digest.update(_piece(uv, secure, offset, count))
    return digest.digest()


def _piece(uv: Ultravisor, secure: int, offset: int, count: int) -> memoryview:
    """Bytes of one page of secure memory, where they lie."""
    return memoryview(uv.secure.page(secure))[offset : offset + count]


def write_own(uv: Ultravisor, svm: Svm, address: int, data: bytes) -> bool:
    """Whether all of it was written: nothing is, when a page is not there."""
    places = [
        (own_page(svm, gfn), offset, count)
        for gfn, offset, count in pieces(address, len(data))
    ]
    if not all(secure for secure, _, _ in places):
        return False
    done = 0
    for secure, offset, count in places:
        uv.secure.write(secure + offset, data[done : done + count])
        done += count
    return True


def own_page(svm: Svm, gfn: int) -> int:
    """The real address of a page that only the VM has; 0 when there is none."""
    page = svm.pages.get(gfn)
    return page.secure if page and page.state in OWN else 0


class SecureGuestMemory:
    """What the processor reaches for a secure VM: its own pages and shared ones.

    A page that nobody touched yet is a page of zeros. `DeviceError` for an address in
    no slot, for a page that was taken away, and when secure memory is full.
    """

    __slots__ = ("_lpid", "_uv")

    def __init__(self, uv: Ultravisor, lpid: int) -> None:
        self._uv, self._lpid = uv, lpid

    def read(self, address: int, size: int) -> bytes:
        """``size`` bytes at a guest address."""
        uv = self._uv
        return b"".join(
            uv.real_memory(real).read(real + offset, count)
            for real, offset, count in self._places(address, size)
        )

    def write(self, address: int, data: bytes) -> None:
        """Write at a guest address."""
        uv, done = self._uv, 0
        for real, offset, count in self._places(address, len(data)):
            uv.real_memory(real).write(real + offset, data[done : done + count])
            done += count

    def _places(self, address: int, size: int) -> list[tuple[int, int, int]]:
        svm = self._uv.svms.get(self._lpid)
        if svm is None or svm.state is not SvmState.SECURE:
            raise DeviceError("guest memory", address, "not that of a secure VM")
        return [
            (_real_page(self._uv, svm, gfn), offset, count)
            for gfn, offset, count in pieces(address, size)
        ]


def _real_page(uv: Ultravisor, svm: Svm, gfn: int) -> int:
    """Where a page of a secure VM really lies, made when it is first touched."""
    if not svm.has_page(gfn):
        raise DeviceError("guest memory", gfn << PAGE_SHIFT, "no page here")
    page = svm.page(gfn)
    if page.state in NORMAL:
        return page.normal
    if page.state not in OWN:
        raise DeviceError("guest memory", gfn << PAGE_SHIFT, f"page {page.state.name}")
    if not page.secure:
        page.secure = uv.secure.allocate()
    return page.secure


def pieces(address: int, size: int) -> Iterator[tuple[int, int, int]]:
    """Number, offset and count of bytes in each page of a range of guest addresses."""
    end = address + size
    while address < end:
        gfn, offset = address >> PAGE_SHIFT, address & PAGE_SIZE - 1
        count = min(PAGE_SIZE - offset, end - address)
        yield gfn, offset, count
        address += count
