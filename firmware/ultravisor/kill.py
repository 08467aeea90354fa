"""The end of a VM that cannot go back: RTAS ibm,os-term on its behalf (esm.md 2.3)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from pefstack.firmware.ultravisor.codes import PAGE_SHIFT, HCall
from pefstack.firmware.ultravisor.effects import Reason
from pefstack.firmware.ultravisor.release import release, terminate
from pefstack.firmware.ultravisor.svm import PageState, Svm
from pefstack.images.rtas import OS_TERM_TOKEN

if TYPE_CHECKING:
    from pefstack.firmware.ultravisor.ultravisor import Ultravisor

_ARGUMENTS: Final = struct.Struct(">IIIIi")  # token, counts, argument, result


def kill(uv: Ultravisor, lpid: int, reason: Reason) -> None:
    """Wipe the VM, have the hypervisor end it, forget it.

    The hypervisor must not come back from that call: a machine looks whether the VM
    really stopped.
    """
    uv.note(lpid, reason)
    svm = uv.svms.get(lpid)
    if svm is None:
        return
    buffer = _buffer(svm)
    if buffer is not None:
        address, real = buffer
        uv.memory.write(real, _ARGUMENTS.pack(OS_TERM_TOKEN, 1, 1, 0, 0))
        release(uv, svm)
        uv.hypercall(lpid, HCall.RTAS, address)
    terminate(uv, lpid)


def _buffer(svm: Svm) -> tuple[int, int] | None:
    """Guest and real address of the first page that is shared for RTAS."""
    page = svm.pages.get(svm.rtas_buffer >> PAGE_SHIFT)
    if page is None or page.state is not PageState.SHARED_IMPLICIT:
        return None
    return svm.rtas_buffer, page.normal
