"""H_SVM_PAGE_IN, H_SVM_PAGE_OUT, and what KVM does with pages by itself (esm.md 3.4).

A page is handed over with UV_PAGE_IN from the normal page that holds its content, and
comes back with UV_PAGE_OUT. A shared page is the normal page, for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pefstack.firmware.hypervisor.vm import PageOwner, Vm, VmState
from pefstack.firmware.ultravisor.codes import (
    PAGE_IN_SHARED,
    PAGE_SHIFT,
    PAGE_SIZE,
    HStatus,
    UvCall,
)

if TYPE_CHECKING:
    from pefstack.firmware.hypervisor.kvm import Hypervisor

# of every page of a VM: an attribute of an Enum costs more than a name
_ULTRAVISOR, _SECURE, _PAGE_IN = PageOwner.ULTRAVISOR, VmState.SECURE, UvCall.PAGE_IN


def page_in(hypervisor: Hypervisor, vm: Vm, args: Sequence[int]) -> tuple[int, ...]:
    """H_SVM_PAGE_IN: guest address, flags, order.

    H_UNSUPPORTED before H_SVM_INIT_START, H_P3 for another order than 16, H_P2 for an
    unknown flag, H_PARAMETER for an address without memory, for a page that the
    ultravisor has, and when it does not take the page.
    """
    gpa, flags, *_ = args
    refusal = _refusal(vm, args, known_flags=PAGE_IN_SHARED)
    if refusal:
        return (refusal,)
    number = gpa >> PAGE_SHIFT
    if flags & PAGE_IN_SHARED:
        return (_share(hypervisor, vm, number),)
    if vm.pages.get(number) is PageOwner.ULTRAVISOR:
        return (HStatus.PARAMETER,)
    return (HStatus.SUCCESS if hand_over(hypervisor, vm, number) else _REFUSED,)


def page_out(hypervisor: Hypervisor, vm: Vm, args: Sequence[int]) -> tuple[int, ...]:
    """H_SVM_PAGE_OUT: guest address, flags, order; refusals as those of `page_in`.

    No flag is known. A page that the ultravisor does not have is out already.
    """
    refusal = _refusal(vm, args, known_flags=0)
    if refusal:
        return (refusal,)
    number = args[0] >> PAGE_SHIFT
    if vm.pages.get(number) is not PageOwner.ULTRAVISOR:
        return (HStatus.SUCCESS,)
    return (HStatus.SUCCESS if fetch(hypervisor, vm, number) else _REFUSED,)


def hand_over(hypervisor: Hypervisor, vm: Vm, number: int) -> bool:
    """UV_PAGE_IN of one page; whether the ultravisor took it.

    Of a VM that is secure already the normal page is then given back.
    """
    gpa = number << PAGE_SHIFT
    if hypervisor.ultracall(_PAGE_IN, vm.lpid, vm.base + gpa, gpa, 0, PAGE_SHIFT):
        return False
    vm.pages[number] = _ULTRAVISOR
    if vm.state is _SECURE:
        hypervisor.forget(vm, number)
    return True


def fetch(hypervisor: Hypervisor, vm: Vm, number: int) -> bool:
    """UV_PAGE_OUT of one page, as when the hypervisor touches it; whether it came."""
    if _call(hypervisor, UvCall.PAGE_OUT, vm, number):
        return False
    vm.pages[number] = PageOwner.PAGED_OUT
    return True


def invalidate(hypervisor: Hypervisor, vm: Vm, number: int) -> int:
    """UV_PAGE_INVAL of a shared page, before its normal page moves; the answer."""
    gpa = number << PAGE_SHIFT
    return hypervisor.ultracall(UvCall.PAGE_INVAL, vm.lpid, gpa, PAGE_SHIFT)


_REFUSED = HStatus.PARAMETER


def _refusal(vm: Vm, args: Sequence[int], *, known_flags: int) -> HStatus | None:
    """In KVM's order."""
    gpa, flags, order, *_ = args
    if not vm.is_started:
        return HStatus.UNSUPPORTED
    if order != PAGE_SHIFT:
        return HStatus.P3
    if flags & ~known_flags:
        return HStatus.P2
    if not vm.holds(gpa >> PAGE_SHIFT << PAGE_SHIFT, PAGE_SIZE):
        return HStatus.PARAMETER
    return None


def _share(hypervisor: Hypervisor, vm: Vm, number: int) -> HStatus:
    """The normal page becomes everybody's; what the ultravisor has is not asked for."""
    if _call(hypervisor, UvCall.PAGE_IN, vm, number):
        return _REFUSED
    vm.pages[number] = PageOwner.SHARED
    return HStatus.SUCCESS


def _call(hypervisor: Hypervisor, call: UvCall, vm: Vm, number: int) -> bool:
    """Whether the ultravisor refused."""
    gpa = number << PAGE_SHIFT
    status = hypervisor.ultracall(call, vm.lpid, vm.base + gpa, gpa, 0, PAGE_SHIFT)
    return status != 0
