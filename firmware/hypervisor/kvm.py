"""The hypervisor as software: its VMs, and who answers which hypercall.

What KVM does is after Linux, arch/powerpc/kvm/book3s_hv_uvmem.c. A hypervisor with
other intentions has other handlers (`hostile`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Protocol, Self

from pefstack.firmware.hypervisor import rtas, svm_life, svm_pages, tpm_comm
from pefstack.firmware.hypervisor.vm import PageOwner, Vm, VmState
from pefstack.firmware.ultravisor.codes import (
    PAGE_SHIFT,
    PAGE_SIZE,
    HCall,
    HStatus,
    UvCall,
    UvStatus,
)
from pefstack.hw.cpu import Level
from pefstack.hw.errors import DeviceError
from pefstack.hw.journal import Journal
from pefstack.hw.secure_memory import HypervisorMemory, SecureFault

SOURCE: Final = "hypervisor"
LOWEST_BASE: Final = 0x4000_0000  # firmware and the hypervisor itself are below
_FIRST_ARGUMENT: Final = 4  # r4
_ARGUMENT_COUNT: Final = 9  # r4 to r12
_ZEROS: Final = (0,) * _ARGUMENT_COUNT

UvGate = Callable[..., tuple[int, ...]]
Handler = Callable[["Hypervisor", Vm, Sequence[int]], tuple[int, ...]]


class Relay(Protocol):
    """Where TPM commands go: bytes in, bytes out; `DeviceError` when it is dead."""

    def execute(self, command: bytes) -> bytes:
        """The response to one command."""
        ...


HANDLERS: Final[Mapping[HCall, Handler]] = MappingProxyType(
    {
        HCall.RTAS: rtas.call,
        HCall.SVM_PAGE_IN: svm_pages.page_in,
        HCall.SVM_PAGE_OUT: svm_pages.page_out,
        HCall.SVM_INIT_START: svm_life.init_start,
        HCall.SVM_INIT_DONE: svm_life.init_done,
        HCall.SVM_TPM_COMM: tpm_comm.communicate,
        HCall.SVM_INIT_ABORT: svm_life.init_abort,
    }
)
_OF_GUESTS: Final = (HCall.RTAS, HCall.SVM_INIT_ABORT)  # not filtered by their caller


@dataclass(slots=True)
class Hypervisor:
    """An honest KVM with QEMU.

    ``gate`` makes an ultra-call of the hypervisor: number, then arguments; r3 (signed),
    r4 and on come back. None on a machine without an ultravisor. ``relay`` is the way
    to the TPM, or None. ``handlers``: what it does at each hypercall.
    """

    memory: HypervisorMemory
    relay: Relay | None
    journal: Journal
    gate: UvGate | None = None
    vms: dict[int, Vm] = field(default_factory=dict)
    handlers: Mapping[HCall, Handler] = field(default_factory=lambda: HANDLERS)

    def create_vm(self, size: int, cpus: int = 1) -> Vm:
        """A VM with ``size`` bytes of memory, its logical partition the next one.

        ``size`` is a multiple of 64 KiB. Raises `DeviceError` without that much memory.
        """
        top = min((each.base for each in self.vms.values()), default=self.memory.size)
        base = (top - size) // PAGE_SIZE * PAGE_SIZE
        if base < LOWEST_BASE:
            raise DeviceError("memory", top, f"no room for a VM of 0x{size:x} bytes")
        vm = Vm(lpid=max(self.vms, default=0) + 1, base=base, size=size, cpus=cpus)
        self.vms[vm.lpid] = vm
        self.journal.add(SOURCE, "vm-created", lpid=vm.lpid, memory=size, cpus=cpus)
        return vm

    def destroy_vm(self, lpid: int) -> None:
        """End a VM and forget its memory; the ultravisor is told if it was secure."""
        vm = self.vms.pop(lpid)
        if vm.is_started:
            self.ultracall(UvCall.SVM_TERMINATE, lpid)
        for number in vm.page_numbers():
            self.forget(vm, number)

    def hypercall(
        self, lpid: int, number: int, args: Sequence[int] = ()
    ) -> tuple[int, ...]:
        """A hypercall that the ultravisor makes: r3 (signed), then r4 and on.

        ``args`` are r4 and on. Never raises towards the caller: secure memory that was
        touched stands in the journal as ``fault``, a defect of this side.
        """
        handler = self.handlers[HCall(number)] if number in HANDLERS else None
        if handler is None:
            return (HStatus.FUNCTION,)
        vm = self.vms.get(lpid)
        if vm is None:
            return (HStatus.PARAMETER,)
        try:
            return handler(self, vm, _padded(args))
        except SecureFault as fault:
            self.journal.add(SOURCE, "fault", lpid=lpid, address=f"0x{fault.code:x}")
            return (HStatus.HARDWARE,)

    def guest_hypercall(self, lpid: int) -> tuple[int, ...]:
        """The hypercall (`sc 1`) that a VM's own registers ask for; sets r3 and on.

        The calls that only the ultravisor may make answer H_UNSUPPORTED.
        """
        vm = self.vms[lpid]
        number, args = vm.cpu.gpr[3], vm.cpu.gpr[_FIRST_ARGUMENT:][:_ARGUMENT_COUNT]
        result: tuple[int, ...] = (HStatus.UNSUPPORTED,)
        if vm.cpu.level is Level.USER:
            result = (HStatus.FUNCTION,)
        elif number in _OF_GUESTS or number not in HANDLERS:
            result = self.hypercall(lpid, number, args)
        vm.cpu.set_result(*result)
        return result

    def ultracall(self, call: UvCall, *args: int) -> int:
        """What the ultravisor answers in r3; U_FUNCTION when there is none."""
        if self.gate is None:
            return UvStatus.FUNCTION
        return self.gate(call, *args)[0]

    def read_guest(self, vm: Vm, gpa: int, size: int) -> bytes:
        """``size`` bytes of a guest's memory, in one slot.

        A page that the ultravisor has is asked for first (UV_PAGE_OUT): encrypted, if
        it comes. Raises `SecureFault`, if an address is secure after all.
        """
        self._fetch(vm, gpa, size)
        return self.memory.read(vm.real(gpa), size)

    def write_guest(self, vm: Vm, gpa: int, data: bytes) -> None:
        """Write into a guest's memory; as `read_guest`."""
        self._fetch(vm, gpa, len(data))
        self.memory.write(vm.real(gpa), data)

    def tpm(self, command: bytes) -> bytes:
        """The TPM's response; `DeviceError` if it gives none."""
        if self.relay is None:
            raise DeviceError("tpm", 0, "none on this machine")
        return self.relay.execute(command)

    def forget(self, vm: Vm, number: int, count: int = 1) -> None:
        """Give normal pages back, from page ``number`` on: what was in them is gone."""
        self.memory.blank(vm.real(number << PAGE_SHIFT), count << PAGE_SHIFT)

    def stop(self, vm: Vm, message: str) -> None:
        """End a VM's execution, as QEMU does for ibm,os-term."""
        vm.state = VmState.STOPPED
        self.journal.add(SOURCE, "os-term", lpid=vm.lpid, message=message)

    def fork(
        self, memory: HypervisorMemory, relay: Relay | None, journal: Journal
    ) -> Self:
        """The same VMs on another machine; its ``gate`` has to be set."""
        vms = {lpid: vm.fork() for lpid, vm in self.vms.items()}
        return type(self)(memory, relay, journal, vms=vms, handlers=self.handlers)

    def _fetch(self, vm: Vm, gpa: int, size: int) -> None:
        for number in range(gpa >> PAGE_SHIFT, (gpa + size - 1 >> PAGE_SHIFT) + 1):
            if vm.pages.get(number) is PageOwner.ULTRAVISOR:
                svm_pages.fetch(self, vm, number)


def _padded(args: Sequence[int]) -> tuple[int, ...]:
    """All argument registers; those that nobody set are 0."""
    return (*args, *_ZEROS[len(args) :])
