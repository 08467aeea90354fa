"""Give secure memory back: every page is wiped before anybody gets it (esm.md 3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pefstack.firmware.ultravisor.codes import UvStatus
from pefstack.firmware.ultravisor.svm import Svm

if TYPE_CHECKING:
    from pefstack.firmware.ultravisor.ultravisor import Ultravisor


def release_page(uv: Ultravisor, svm: Svm, gfn: int) -> None:
    """Forget one page of a VM."""
    page = svm.pages.pop(gfn)
    svm.private.discard(gfn)
    if page.secure:
        uv.secure.free(page.secure)


def release(uv: Ultravisor, svm: Svm) -> None:
    """Wipe everything that the ultravisor has of a VM; its record stays."""
    for gfn in list(svm.pages):
        release_page(uv, svm, gfn)
    while svm.own:
        uv.secure.free(svm.own.pop())
    svm.files = None


def terminate(uv: Ultravisor, lpid: int) -> tuple[int, ...]:
    """UV_SVM_TERMINATE: no trace of the VM is left; 0, also when there was none."""
    svm = uv.svms.pop(lpid, None)
    if svm is not None:
        release(uv, svm)
    uv.pates.pop(lpid, None)
    return (UvStatus.SUCCESS,)
