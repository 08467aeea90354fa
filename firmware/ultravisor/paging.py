"""UV_PAGE_IN: a page of the hypervisor's becomes the VM's (esm.md 3.4).

UV_PAGE_OUT and UV_PAGE_INVAL are not modelled yet: they answer U_FUNCTION, but for a
VM that is aborted, where they do nothing as in the published code (esm.md 2.2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pefstack.firmware.ultravisor.codes import PAGE_SHIFT, PAGE_SIZE, UvStatus
from pefstack.firmware.ultravisor.svm import GuestPage, PageState, Svm, SvmState
from pefstack.hw.errors import DeviceError
from pefstack.hw.memory import BLANK_PAGE
from pefstack.hw.secure_memory import SECURE_BIT
from pefstack.images.esm_blob_refusal import EsmProfile

if TYPE_CHECKING:
    from pefstack.firmware.ultravisor.ultravisor import Ultravisor

_REMAPPED: Final = {
    PageState.SHARED: PageState.SHARED,
    PageState.SHARED_INV: PageState.SHARED,
    PageState.SHARED_IMPLICIT: PageState.SHARED_IMPLICIT,
    PageState.SHARED_IMPLICIT_INV: PageState.SHARED_IMPLICIT,
    PageState.HV_SHARING: PageState.HV_SHARED,
    PageState.HV_SHARED: PageState.HV_SHARED,
    PageState.HV_SHARED_INV: PageState.HV_SHARED,
    PageState.PSEUDO_SHARED: PageState.PSEUDO_SHARED,
    PageState.PSEUDO_SHARED_INV: PageState.PSEUDO_SHARED,
}
# of every page of a VM: an attribute of an Enum costs more than a name
_SECURE, _ABORT, _DONE = PageState.SECURE, SvmState.ABORT, SvmState.SECURE
_SUCCESS = UvStatus.SUCCESS
Answer = tuple[int, ...]


def page_in(
    uv: Ultravisor, lpid: int, source: int, address: int, _flags: int, order: int
) -> Answer:
    """Copy or map the page at the real address ``source``; the checks are in order.

    U_RETRY when secure memory is full (project decision).
    """
    refusal = _page_refusal(uv, source, order)
    if refusal:
        return (refusal,)
    svm = uv.svms.get(lpid)
    if svm is None:
        return (UvStatus.PARAMETER,)
    if svm.state is _ABORT:
        return (UvStatus.STATE,)
    gfn = address >> PAGE_SHIFT
    if not svm.has_page(gfn):
        return (UvStatus.P3,)
    page = svm.page(gfn)
    mapped = None if page.state is _SECURE else _REMAPPED.get(page.state)
    if mapped is None:
        return (_copied(uv, svm, page, source),)
    page.state, page.normal = mapped, source
    return (UvStatus.SUCCESS,)


def _page_refusal(uv: Ultravisor, source: int, order: int) -> UvStatus | None:
    """What needs no record: the order of the page, where it comes from."""
    if order != PAGE_SHIFT:
        return UvStatus.P5
    if not source or source & SECURE_BIT or source % PAGE_SIZE:
        return UvStatus.P2
    return UvStatus.P2 if source + PAGE_SIZE > uv.memory.size else None


def _copied(uv: Ultravisor, svm: Svm, page: GuestPage, source: int) -> UvStatus:
    """Only while a VM is in transition, and strictly only once.

    The published code notes only what it asked for itself, so that a page which was
    measured can be replaced until H_SVM_INIT_DONE: `EsmProfile.REAL` does so, too.
    """
    if svm.state is _DONE:
        return UvStatus.P2
    if page.secure and uv.profile is not EsmProfile.REAL:
        return UvStatus.P2
    content = uv.memory.page(source)
    if not page.secure:
        try:
            page.secure = uv.secure.allocate()
        except DeviceError:
            return UvStatus.RETRY
        if content is BLANK_PAGE:  # as what was allocated
            return _SUCCESS
    uv.secure.put_page(page.secure, content)
    return _SUCCESS


def page_out(uv: Ultravisor, lpid: int, *_: int) -> Answer:
    """Not modelled; of an aborted VM it succeeds, and writes nothing."""
    aborted = _is_aborted(uv, lpid)
    return (UvStatus.SUCCESS if aborted else UvStatus.FUNCTION,)


def page_invalidate(uv: Ultravisor, lpid: int, *_: int) -> Answer:
    """Not modelled; U_STATE of an aborted VM."""
    return (UvStatus.STATE if _is_aborted(uv, lpid) else UvStatus.FUNCTION,)


def _is_aborted(uv: Ultravisor, lpid: int) -> bool:
    svm = uv.svms.get(lpid)
    return svm is not None and svm.state is SvmState.ABORT
