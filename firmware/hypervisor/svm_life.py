"""H_SVM_INIT_START, _DONE and _ABORT: a VM becomes secure, or stays what it was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from pefstack.firmware.hypervisor import svm_pages
from pefstack.firmware.hypervisor.vm import PageOwner, Vm, VmState
from pefstack.firmware.ultravisor.codes import HStatus, UvCall

if TYPE_CHECKING:
    from pefstack.firmware.hypervisor.kvm import Hypervisor

_SOURCE: Final = "hypervisor"


def init_start(hypervisor: Hypervisor, vm: Vm, args: Sequence[int]) -> tuple[int, ...]:
    """H_SVM_INIT_START: register every slot with the ultravisor.

    H_UNSUPPORTED on a machine without one, H_STATE for a VM that is started already or
    does not run. H_PARAMETER when a slot is refused: those before it are taken back,
    and the VM counts as starting nevertheless (as in KVM), for the abort to come.
    """
    del args
    if hypervisor.gate is None:
        return (HStatus.UNSUPPORTED,)
    if vm.state is not VmState.NORMAL:
        return (HStatus.STATE,)
    vm.state = VmState.STARTING
    if not _register(hypervisor, vm):
        return (HStatus.PARAMETER,)
    hypervisor.journal.add(_SOURCE, "svm-start", lpid=vm.lpid, slots=len(vm.slots))
    return (HStatus.SUCCESS,)


def init_done(hypervisor: Hypervisor, vm: Vm, args: Sequence[int]) -> tuple[int, ...]:
    """H_SVM_INIT_DONE: hand over every page that is still normal.

    H_UNSUPPORTED before H_SVM_INIT_START, H_STATE when the VM is secure already or the
    ultravisor does not take a page: the VM is then not secure, and an abort has to
    come. Only now the normal copies are given back.
    """
    del args
    if not vm.is_started:
        return (HStatus.UNSUPPORTED,)
    if vm.state is VmState.SECURE or not _hand_over_rest(hypervisor, vm):
        return (HStatus.STATE,)
    vm.state = VmState.SECURE
    whose = PageOwner.ULTRAVISOR
    owned = [n for n, who in vm.pages.items() if who is whose]
    for number, count in _runs(sorted(owned)):
        hypervisor.forget(vm, number, count)
    _note(hypervisor, vm, "svm-done")
    return (HStatus.SUCCESS,)


def init_abort(hypervisor: Hypervisor, vm: Vm, args: Sequence[int]) -> tuple[int, ...]:
    """H_SVM_INIT_ABORT: everything back; H_PARAMETER then goes to the guest itself.

    H_UNSUPPORTED before H_SVM_INIT_START, H_STATE for a secure VM. What UV_PAGE_OUT
    answers does not matter: the ultravisor writes nothing then, and the normal copies
    are still there.
    """
    del args
    if not vm.is_started:
        return (HStatus.UNSUPPORTED,)
    if vm.state is VmState.SECURE:
        return (HStatus.STATE,)
    _note(hypervisor, vm, "svm-abort")
    owned = [n for n, who in vm.pages.items() if who is PageOwner.ULTRAVISOR]
    for number in owned:
        svm_pages.fetch(hypervisor, vm, number)
    hypervisor.ultracall(UvCall.SVM_TERMINATE, vm.lpid)
    vm.pages.clear()
    vm.state = VmState.NORMAL
    return (HStatus.PARAMETER,)


def _register(hypervisor: Hypervisor, vm: Vm) -> bool:
    """Whether the ultravisor took every slot; if not, it has none of them."""
    for done, slot in enumerate(vm.slots):
        words = (vm.lpid, slot.start, slot.size, 0, slot.number)
        if hypervisor.ultracall(UvCall.REGISTER_MEM_SLOT, *words):
            for each in vm.slots[:done]:
                hypervisor.ultracall(UvCall.UNREGISTER_MEM_SLOT, vm.lpid, each.number)
            return False
    return True


def _hand_over_rest(hypervisor: Hypervisor, vm: Vm) -> bool:
    rest = [number for number in vm.page_numbers() if number not in vm.pages]
    return all(svm_pages.hand_over(hypervisor, vm, number) for number in rest)


def _runs(numbers: list[int]) -> Iterator[tuple[int, int]]:
    """(first, count) of each row of successive numbers."""
    start = 0
    for at, number in enumerate(numbers):
        if at + 1 == len(numbers) or numbers[at + 1] != number + 1:
            yield numbers[start], at + 1 - start
            start = at + 1


def _note(hypervisor: Hypervisor, vm: Vm, kind: str) -> None:
    hypervisor.journal.add(
        _SOURCE,
        kind,
        lpid=vm.lpid,
        pages=vm.count(PageOwner.ULTRAVISOR),
        shared=vm.count(PageOwner.SHARED),
    )
