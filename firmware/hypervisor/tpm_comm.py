"""H_SVM_TPM_COMM: the ultravisor's TPM commands, carried through shared pages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from pefstack.firmware.hypervisor.vm import Vm
from pefstack.firmware.ultravisor.codes import (
    TPM_CLOSE,
    TPM_EXECUTE,
    TPM_RESPONSE_SIZE,
    HStatus,
)
from pefstack.hw.errors import DeviceError
from pefstack.hw.secure_memory import SecureFault

if TYPE_CHECKING:
    from pefstack.firmware.hypervisor.kvm import Hypervisor

MIN_SIZE: Final = 10  # the header of a command and of a response
MAX_SIZE: Final = TPM_RESPONSE_SIZE


def communicate(hypervisor: Hypervisor, vm: Vm, args: Sequence[int]) -> tuple[int, ...]:
    """H_SVM_TPM_COMM: operation, command address and length, response address and size.

    Operation 1 executes: 0 and the length of the response. 2 closes: 0. H_FUNCTION for
    another one, H_NOT_AVAILABLE without a TPM, H_UNSUPPORTED before H_SVM_INIT_START,
    H_PARAMETER for a length out of range, bytes outside one memory slot and a response
    that is larger than its space; H_RESOURCE when the TPM is dead.
    """
    operation, *places = args
    if operation == TPM_CLOSE:
        return (HStatus.SUCCESS,)
    if operation != TPM_EXECUTE:
        return (HStatus.FUNCTION,)
    if hypervisor.relay is None:
        return (HStatus.NOT_AVAILABLE,)
    if not vm.is_started:
        return (HStatus.UNSUPPORTED,)
    return _execute(hypervisor, vm, places)


def _execute(hypervisor: Hypervisor, vm: Vm, places: Sequence[int]) -> tuple[int, ...]:
    command_at, length, response_at, size, *_ = places
    if not (_fits(vm, command_at, length) and _fits(vm, response_at, size)):
        return (HStatus.PARAMETER,)
    command = hypervisor.read_guest(vm, command_at, length)
    try:
        response = hypervisor.tpm(command)
    except SecureFault:
        raise
    except DeviceError:
        return (HStatus.RESOURCE,)
    if len(response) > size:
        return (HStatus.PARAMETER,)
    hypervisor.write_guest(vm, response_at, response)
    return (HStatus.SUCCESS, len(response))


def _fits(vm: Vm, gpa: int, size: int) -> bool:
    return MIN_SIZE <= size <= MAX_SIZE and vm.holds(gpa, size)
