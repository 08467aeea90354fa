"""Pages that a VM shares with the hypervisor (esm.md 3.3).

Each page of a request goes over HV_SHARING, the hypervisor's answer makes it HV_SHARED;
only when all are there they become what was asked for. Half a request is rolled back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pefstack.firmware.ultravisor.codes import (
    PAGE_IN_SHARED,
    PAGE_SHIFT,
    PAGE_SIZE,
    HCall,
    UvStatus,
)
from pefstack.firmware.ultravisor.effects import ShareKind
from pefstack.firmware.ultravisor.svm import PageState, Svm

if TYPE_CHECKING:
    from pefstack.firmware.ultravisor.ultravisor import Ultravisor

SHARED_AS: Final = {
    ShareKind.ASKED: PageState.SHARED,
    ShareKind.IMPLICIT: PageState.SHARED_IMPLICIT,
    ShareKind.PSEUDO: PageState.PSEUDO_SHARED,
}


def share_page(uv: Ultravisor, lpid: int, first: int, count: int) -> tuple[int, ...]:
    """UV_SHARE_PAGE: the VM asks. Pages that it shares already stay as they are.

    U_P2 for what has no page, for pages that are shared for another purpose, and when
    the hypervisor does not do its part. The published code loses the answer on its way
    to the guest; here it arrives.
    """
    shared = share(uv, uv.svms[lpid], first, count, ShareKind.ASKED)
    return (UvStatus.SUCCESS if shared else UvStatus.P2,)


def share(uv: Ultravisor, svm: Svm, first: int, count: int, kind: ShareKind) -> bool:
    """Whether all ``count`` pages from number ``first`` are shared now."""
    wanted = SHARED_AS[kind]
    if not _have_slots(svm, first, count) or count << PAGE_SHIFT > uv.memory.size:
        return False
    pages = [gfn for gfn in range(first, first + count) if _state(svm, gfn) != wanted]
    if any(_state(svm, gfn) is not PageState.SECURE for gfn in pages):
        return False
    for at, gfn in enumerate(pages):
        if not _offered(uv, svm, gfn):
            _roll_back(svm, pages[: at + 1])
            return False
    for gfn in pages:
        _settle(uv, svm, gfn, wanted)
    return True


def _have_slots(svm: Svm, first: int, count: int) -> bool:
    """Bounded before anything is walked through: one slot has all of them."""
    last = first + count - 1
    return any(
        first in slot.pages and last in slot.pages for slot in svm.slots.values()
    )


def _state(svm: Svm, gfn: int) -> PageState:
    page = svm.pages.get(gfn)
    return page.state if page else PageState.SECURE


def _offered(uv: Ultravisor, svm: Svm, gfn: int) -> bool:
    """The hypervisor answers with UV_PAGE_IN for the same page."""
    page = svm.page(gfn)
    page.state = PageState.HV_SHARING
    asked = (gfn << PAGE_SHIFT, PAGE_IN_SHARED, PAGE_SHIFT)
    status = uv.hypercall(svm.lpid, HCall.SVM_PAGE_IN, *asked)[0]
    there = svm.pages.get(gfn) is page
    return there and status == 0 and page.state is PageState.HV_SHARED


def _roll_back(svm: Svm, pages: list[int]) -> None:
    for gfn in pages:
        if gfn in svm.pages:
            page = svm.page(gfn)
            page.state, page.normal = PageState.SECURE, 0


def _settle(uv: Ultravisor, svm: Svm, gfn: int, wanted: PageState) -> None:
    """A secure page is wiped, a shared one blank; a pseudo-shared one is kept."""
    page = svm.page(gfn)
    page.state = wanted
    if wanted is PageState.PSEUDO_SHARED:
        return
    uv.memory.blank(page.normal, PAGE_SIZE)
    if page.secure:
        uv.secure.free(page.secure)
        page.secure = 0
