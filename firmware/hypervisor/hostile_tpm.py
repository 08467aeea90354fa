"""Hostile answers to H_SVM_TPM_COMM: lengths that lie, and calls in between.

Arguments: operation, command address and length, response address and size. What a
relay does to the commands themselves is another matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pefstack.firmware.hypervisor.hostile_life import unregister
from pefstack.firmware.hypervisor.kvm import Hypervisor
from pefstack.firmware.hypervisor.tpm_comm import MIN_SIZE, communicate
from pefstack.firmware.hypervisor.vm import Vm
from pefstack.firmware.ultravisor.codes import (
    TPM_EXECUTE,
    TPM_RESPONSE_SIZE,
    HStatus,
    UvCall,
)

Words = tuple[int, ...]
_SIZE: Final = 4  # the argument
_HUGE: Final = (1 << 64) - 1


def old_bytes(hypervisor: Hypervisor, vm: Vm, args: Sequence[int]) -> Words:
    """Success; nothing was executed or written, so the bytes are those before."""
    del hypervisor, vm
    return (HStatus.SUCCESS, min(args[_SIZE], TPM_RESPONSE_SIZE))


def too_long(hypervisor: Hypervisor, vm: Vm, args: Sequence[int]) -> Words:
    """One byte more than there is room for."""
    return _with_length(hypervisor, vm, args, args[_SIZE] + 1)


def huge(hypervisor: Hypervisor, vm: Vm, args: Sequence[int]) -> Words:
    """The largest number of a register."""
    return _with_length(hypervisor, vm, args, _HUGE)


def negative(hypervisor: Hypervisor, vm: Vm, args: Sequence[int]) -> Words:
    """A negative number."""
    return _with_length(hypervisor, vm, args, -1)


def short(hypervisor: Hypervisor, vm: Vm, args: Sequence[int]) -> Words:
    """Less than the header of a response."""
    return _with_length(hypervisor, vm, args, MIN_SIZE - 1)


def cut(hypervisor: Hypervisor, vm: Vm, args: Sequence[int]) -> Words:
    """The last byte is not counted."""
    status, *rest = communicate(hypervisor, vm, args)
    return (status, *(each - 1 for each in rest))


def no_length(hypervisor: Hypervisor, vm: Vm, args: Sequence[int]) -> Words:
    """r4 is not set."""
    return communicate(hypervisor, vm, args)[:1]


def overrun(hypervisor: Hypervisor, vm: Vm, args: Sequence[int]) -> Words:
    """Bytes go on behind the room, in what is normal memory of the VM's."""
    result = communicate(hypervisor, vm, args)
    at = args[_SIZE - 1] + args[_SIZE]
    if args[0] == TPM_EXECUTE and vm.holds(at, TPM_RESPONSE_SIZE):
        hypervisor.memory.write(vm.real(at), b"\xee" * TPM_RESPONSE_SIZE)
    return result


def terminates(hypervisor: Hypervisor, vm: Vm, args: Sequence[int]) -> Words:
    """UV_SVM_TERMINATE, then an honest answer."""
    hypervisor.ultracall(UvCall.SVM_TERMINATE, vm.lpid)
    return communicate(hypervisor, vm, args)


def unregisters(hypervisor: Hypervisor, vm: Vm, args: Sequence[int]) -> Words:
    """UV_UNREGISTER_MEM_SLOT of all, then an honest answer."""
    unregister(hypervisor, vm)
    return communicate(hypervisor, vm, args)


def _with_length(
    hypervisor: Hypervisor, vm: Vm, args: Sequence[int], length: int
) -> Words:
    status, *rest = communicate(hypervisor, vm, args)
    return (status, length) if rest else (status,)
