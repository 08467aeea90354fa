"""Hostile answers to H_SVM_PAGE_IN, and pages that change at another call.

Where the kernel and the device tree are, the hypervisor knows: r4 and r5 of the VM when
it called UV_ESM.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pefstack.firmware.hypervisor import svm_life, svm_pages, tpm_comm
from pefstack.firmware.hypervisor.kvm import Hypervisor
from pefstack.firmware.hypervisor.vm import PageOwner, Vm
from pefstack.firmware.ultravisor.codes import (
    PAGE_IN_SHARED,
    PAGE_SHIFT,
    PAGE_SIZE,
    HStatus,
    UvCall,
)
from pefstack.hw.secure_memory import SECURE_BIT

Words = tuple[int, ...]
_KBASE, _FDT = 4, 5  # registers
_LARGE_ORDER: Final = 21
_EVIL: Final = b"\xee" * PAGE_SIZE


def neighbour(hypervisor: Hypervisor, vm: Vm, args: Sequence[int]) -> Words:
    """The content of the page behind this one."""
    number = args[0] >> PAGE_SHIFT
    return _hand_over(hypervisor, vm, number, source=vm.real(_next(vm, number)))


def elsewhere(hypervisor: Hypervisor, vm: Vm, args: Sequence[int]) -> Words:
    """This page's content, for the address behind."""
    number = args[0] >> PAGE_SHIFT
    return _hand_over(hypervisor, vm, number, gpa=_next(vm, number))


def secure_source(hypervisor: Hypervisor, vm: Vm, args: Sequence[int]) -> Words:
    """Whatever lies in secure memory at the same address."""
    number = args[0] >> PAGE_SHIFT
    source = vm.real(number << PAGE_SHIFT) | SECURE_BIT
    return _hand_over(hypervisor, vm, number, source=source)


def outside_source(hypervisor: Hypervisor, vm: Vm, args: Sequence[int]) -> Words:
    """A page that begins where memory ends."""
    number = args[0] >> PAGE_SHIFT
    return _hand_over(hypervisor, vm, number, source=hypervisor.memory.size)


def other_partition(hypervisor: Hypervisor, vm: Vm, args: Sequence[int]) -> Words:
    """The page goes to a partition that is not this VM."""
    number = args[0] >> PAGE_SHIFT
    return _hand_over(hypervisor, vm, number, lpid=vm.lpid + 1)


def large_order(hypervisor: Hypervisor, vm: Vm, args: Sequence[int]) -> Words:
    """As one of 2 MiB."""
    number = args[0] >> PAGE_SHIFT
    return _hand_over(hypervisor, vm, number, order=_LARGE_ORDER)


def shares_another(hypervisor: Hypervisor, vm: Vm, args: Sequence[int]) -> Words:
    """Another normal page is shared than the one that is read later."""
    if not args[1] & PAGE_IN_SHARED:
        return svm_pages.page_in(hypervisor, vm, args)
    return neighbour(hypervisor, vm, args)


def changed_kernel(hypervisor: Hypervisor, vm: Vm, args: Sequence[int]) -> Words:
    """The first byte of the kernel differs when its page goes in."""
    kbase = vm.cpu.gpr[_KBASE]
    if args[0] >> PAGE_SHIFT == kbase >> PAGE_SHIFT:
        first = hypervisor.memory.read(vm.real(kbase), 1)
        hypervisor.memory.write(vm.real(kbase), bytes([first[0] ^ 1]))
    return svm_pages.page_in(hypervisor, vm, args)


def changed_afterwards(hypervisor: Hypervisor, vm: Vm, args: Sequence[int]) -> Words:
    """The normal copy is overwritten once the ultravisor has the page."""
    result = svm_pages.page_in(hypervisor, vm, args)
    if result[0] == HStatus.SUCCESS and not args[1] & PAGE_IN_SHARED:
        _spoil(hypervisor, vm, args[0] >> PAGE_SHIFT)
    return result


def twice(hypervisor: Hypervisor, vm: Vm, args: Sequence[int]) -> Words:
    """A page goes in, and then once more with other content."""
    result = changed_afterwards(hypervisor, vm, args)
    if not args[1] & PAGE_IN_SHARED:
        _hand_over(hypervisor, vm, args[0] >> PAGE_SHIFT)
    return result


def out_again(hypervisor: Hypervisor, vm: Vm, args: Sequence[int]) -> Words:
    """A page goes in and, with UV_PAGE_OUT, out."""
    result = svm_pages.page_in(hypervisor, vm, args)
    number = args[0] >> PAGE_SHIFT
    if vm.pages.get(number) is PageOwner.ULTRAVISOR:
        svm_pages.fetch(hypervisor, vm, number)
    return result


def replaced_at_done(hypervisor: Hypervisor, vm: Vm, args: Sequence[int]) -> Words:
    """H_SVM_INIT_DONE: a kernel page that was measured goes in again, another one."""
    number = vm.cpu.gpr[_KBASE] >> PAGE_SHIFT
    _spoil(hypervisor, vm, number)
    _hand_over(hypervisor, vm, number)
    return svm_life.init_done(hypervisor, vm, args)


def swapped_at_done(hypervisor: Hypervisor, vm: Vm, args: Sequence[int]) -> Words:
    """H_SVM_INIT_DONE: the same, after it was taken out."""
    number = vm.cpu.gpr[_KBASE] >> PAGE_SHIFT
    svm_pages.fetch(hypervisor, vm, number)
    return replaced_at_done(hypervisor, vm, args)


def tree_replaced_at_tpm(hypervisor: Hypervisor, vm: Vm, args: Sequence[int]) -> Words:
    """H_SVM_TPM_COMM: the tree that was read is taken out, another page put in."""
    number = vm.cpu.gpr[_FDT] >> PAGE_SHIFT
    svm_pages.fetch(hypervisor, vm, number)
    _spoil(hypervisor, vm, number)
    _hand_over(hypervisor, vm, number)
    return tpm_comm.communicate(hypervisor, vm, args)


def _hand_over(
    hypervisor: Hypervisor,
    vm: Vm,
    number: int,
    *,
    lpid: int | None = None,
    source: int | None = None,
    gpa: int | None = None,
    order: int = PAGE_SHIFT,
) -> Words:
    """UV_PAGE_IN with something else in place of what is right; success is said."""
    hypervisor.ultracall(
        UvCall.PAGE_IN,
        vm.lpid if lpid is None else lpid,
        vm.real(number << PAGE_SHIFT) if source is None else source,
        number << PAGE_SHIFT if gpa is None else gpa,
        0,
        order,
    )
    vm.pages[number] = PageOwner.ULTRAVISOR
    return (HStatus.SUCCESS,)


def _next(vm: Vm, number: int) -> int:
    """The guest address of the page behind; of the last page, the first."""
    return (number + 1 << PAGE_SHIFT) % vm.size


def _spoil(hypervisor: Hypervisor, vm: Vm, number: int) -> None:
    hypervisor.memory.write(vm.real(number << PAGE_SHIFT), _EVIL)
