"""Hostile answers to H_SVM_INIT_START, _DONE and _ABORT, and to any other call."""

from __future__ import annotations

from collections.abc import Sequence

from pefstack.firmware.hypervisor import svm_life
from pefstack.firmware.hypervisor.kvm import Handler, Hypervisor
from pefstack.firmware.hypervisor.vm import Vm, VmState
from pefstack.firmware.ultravisor.codes import PAGE_SIZE, HStatus, UvCall

Words = tuple[int, ...]
_OTHER_SLOT = 256  # a number that honest slots do not have


def answers(status: int) -> Handler:
    """Nothing is done; this is said."""

    def handler(hypervisor: Hypervisor, vm: Vm, args: Sequence[int]) -> Words:
        del hypervisor, vm, args
        return (status,)

    return handler


def works_but_says(status: int, honest: Handler) -> Handler:
    """All is done as it should be; this is said."""

    def handler(hypervisor: Hypervisor, vm: Vm, args: Sequence[int]) -> Words:
        _, *rest = honest(hypervisor, vm, args)
        return (status, *rest)

    return handler


def start_without_slots(hypervisor: Hypervisor, vm: Vm, args: Sequence[int]) -> Words:
    """H_SVM_INIT_START: success, though the ultravisor knows of no memory."""
    del hypervisor, args
    vm.state = VmState.STARTING
    return (HStatus.SUCCESS,)


def start_with_half(hypervisor: Hypervisor, vm: Vm, args: Sequence[int]) -> Words:
    """H_SVM_INIT_START: the upper half of each slot is kept back."""
    del args
    for each in vm.slots:
        half = each.size // 2 // PAGE_SIZE * PAGE_SIZE
        _register(hypervisor, vm, each.start, half, each.number)
    vm.state = VmState.STARTING
    return (HStatus.SUCCESS,)


def start_with_overlap(hypervisor: Hypervisor, vm: Vm, args: Sequence[int]) -> Words:
    """H_SVM_INIT_START: each slot a second time, under another number."""
    result = svm_life.init_start(hypervisor, vm, args)
    for each in vm.slots:
        number = _OTHER_SLOT + each.number
        _register(hypervisor, vm, each.start, each.size, number)
    return result


def done_early(hypervisor: Hypervisor, vm: Vm, args: Sequence[int]) -> Words:
    """H_SVM_INIT_DONE: success, though not all pages went in."""
    del hypervisor, args
    vm.state = VmState.SECURE
    return (HStatus.SUCCESS,)


def done_terminates(hypervisor: Hypervisor, vm: Vm, args: Sequence[int]) -> Words:
    """H_SVM_INIT_DONE: the ultravisor's record is gone when it hears of success."""
    result = svm_life.init_done(hypervisor, vm, args)
    hypervisor.ultracall(UvCall.SVM_TERMINATE, vm.lpid)
    return result


def done_unregisters(hypervisor: Hypervisor, vm: Vm, args: Sequence[int]) -> Words:
    """H_SVM_INIT_DONE: the slots are gone when it hears of success."""
    result = svm_life.init_done(hypervisor, vm, args)
    unregister(hypervisor, vm)
    return result


def abort_claims_success(hypervisor: Hypervisor, vm: Vm, args: Sequence[int]) -> Words:
    """H_SVM_INIT_ABORT: the guest hears 0."""
    svm_life.init_abort(hypervisor, vm, args)
    hypervisor.ultracall(UvCall.SVM_TERMINATE, vm.lpid)
    return (HStatus.SUCCESS,)


def unregister(hypervisor: Hypervisor, vm: Vm) -> None:
    """Take every slot back."""
    for each in vm.slots:
        hypervisor.ultracall(UvCall.UNREGISTER_MEM_SLOT, vm.lpid, each.number)


def _register(
    hypervisor: Hypervisor, vm: Vm, start: int, size: int, number: int
) -> None:
    hypervisor.ultracall(UvCall.REGISTER_MEM_SLOT, vm.lpid, start, size, 0, number)
