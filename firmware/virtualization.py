"""What runs after firmware: ultravisor, hypervisor and a VM, on one processor.

The guest executes `sc`; its level says who serves it: 1 the hypervisor, for a secure VM
behind the ultravisor, 2 the ultravisor (esm.md 3.1). Nothing here runs by itself:
`step` does the next thing, so that a machine can be forked inside a call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from pefstack.firmware.guest.early_boot import ULTRACALL, EarlyBoot
from pefstack.firmware.hypervisor.kvm import Hypervisor
from pefstack.firmware.hypervisor.vm import Vm, VmState
from pefstack.firmware.ultravisor import esm_call
from pefstack.firmware.ultravisor.calls import Caller
from pefstack.firmware.ultravisor.codes import UvCall, UvStatus
from pefstack.firmware.ultravisor.effects import End, Entered, Killed, Reason
from pefstack.firmware.ultravisor.esm_state import EsmCaller
from pefstack.firmware.ultravisor.guest_memory import SecureGuestMemory
from pefstack.firmware.ultravisor.kill import kill
from pefstack.firmware.ultravisor.svm import SvmState
from pefstack.firmware.ultravisor.ultravisor import Ultravisor
from pefstack.hw.board import Board
from pefstack.hw.chip import MSR_HV, MSR_S
from pefstack.hw.cpu import GPR_COUNT, INSTRUCTION_SIZE, MSR_EE, MSR_PR, CpuState
from pefstack.hw.errors import DeviceError
from pefstack.hw.secure_memory import HypervisorMemory

SOURCE: Final = "ultravisor"
_RESULTS: Final = slice(3, 13)  # r3 to r12: what a hypercall may change


class NormalGuestMemory:
    """The memory of a VM that is not secure: the hypervisor's, from ``base`` on."""

    __slots__ = ("_memory", "_vm")

    def __init__(self, memory: HypervisorMemory, vm: Vm) -> None:
        self._memory, self._vm = memory, vm

    def read(self, gpa: int, size: int) -> bytes:
        """``size`` bytes; `DeviceError` where the VM has no memory."""
        self._check(gpa, size)
        return self._memory.read(self._vm.real(gpa), size)

    def write(self, gpa: int, data: bytes | memoryview) -> None:
        """Write; `DeviceError` where the VM has no memory."""
        self._check(gpa, len(data))
        self._memory.write(self._vm.real(gpa), data)

    def _check(self, gpa: int, size: int) -> None:
        if not self._vm.holds(gpa, size):
            raise DeviceError("guest memory", gpa, f"no {size} bytes at this address")


@dataclass(slots=True, kw_only=True)
class Virtualization:
    """``ultravisor`` is None where PEF is off. ``vm`` is the machine's first VM.

    ``guest`` is None until it is placed. ``end``: that of its last UV_ESM. ``halted``:
    the hypervisor came back from a call that ends a VM, so the ultravisor stopped the
    machine (esm.md 2.3).
    """

    board: Board = field(repr=False)
    hypervisor: Hypervisor
    ultravisor: Ultravisor | None = None
    vm: Vm | None = None
    guest: EarlyBoot | None = None
    end: End | None = None
    halted: bool = False

    def __post_init__(self) -> None:
        self._wire()

    @property
    def vm_secure(self) -> bool:
        """Whether the VM is a secure one by the ultravisor's record."""
        uv, vm = self.ultravisor, self.vm
        svm = uv.svms.get(vm.lpid) if uv and vm else None
        return svm is not None and svm.state is SvmState.SECURE

    def run(self) -> None:
        """Until the guest needs nobody any more, or the machine stops."""
        while self.step():
            pass

    def step(self) -> bool:
        """The next thing: of a call that goes on, or of the guest; False at the end."""
        uv, vm, guest = self.ultravisor, self.vm, self.guest
        if vm is None or guest is None or self.halted:
            return False
        if uv and vm.lpid in uv.calls:
            caller = uv.calls[vm.lpid].caller
            end = esm_call.step(uv, vm.lpid)
            if end is not None:
                self._ended(vm.cpu, end, caller)
            return True
        if vm.state is VmState.STOPPED:
            return False
        return self._run_guest(vm, guest)

    def sc(self, level: int) -> None:
        """The VM's processor executes ``sc level``; UV_ESM then goes on by `step`."""
        vm = self.vm
        if vm is None:
            return
        cpu, uv = vm.cpu, self.ultravisor
        cpu.srr0, cpu.srr1 = cpu.nia + INSTRUCTION_SIZE, cpu.msr
        cpu.nia = cpu.srr0
        if level != ULTRACALL:
            self._hypercall(vm)
        elif uv is None:
            cpu.set_result(UvStatus.FUNCTION)
        elif cpu.gpr[3] == UvCall.ESM:
            caller = self._esm_caller(uv, vm)
            refused = esm_call.begin(uv, caller)
            if refused is not None:
                self._ended(cpu, refused, caller)
        else:
            cpu.set_result(*uv.ultracall(Caller(cpu.msr, vm.lpid, cpu.pid), cpu.gpr))

    def fork(self, board: Board) -> Virtualization:
        """The same software at the same moment, on another board."""
        hypervisor = self.hypervisor.fork(
            HypervisorMemory(board.memory), board.tpm, board.journal
        )
        return Virtualization(
            board=board,
            hypervisor=hypervisor,
            ultravisor=self.ultravisor.fork(board) if self.ultravisor else None,
            vm=hypervisor.vms[self.vm.lpid] if self.vm else None,
            guest=self.guest.fork() if self.guest else None,
            end=self.end,
            halted=self.halted,
        )

    def _wire(self) -> None:
        """Ultravisor and hypervisor know each other only by the calls they make."""
        uv, hypervisor = self.ultravisor, self.hypervisor
        if uv is None:
            return

        caller = Caller(MSR_HV, 0)

        def gate(number: int, *args: int) -> tuple[int, ...]:
            return uv.ultracall(caller, (0, 0, 0, number, *args))

        def reflect(lpid: int, number: int, args: Sequence[int]) -> tuple[int, ...]:
            """The registers of a secure VM stay behind; the arguments are told."""
            vm = hypervisor.vms.get(lpid)
            if vm is None or not vm.cpu.msr & MSR_S:
                return hypervisor.hypercall(lpid, number, args)
            own, vm.cpu = vm.cpu, CpuState()
            try:
                return hypervisor.hypercall(lpid, number, args)
            finally:
                vm.cpu = own

        hypervisor.gate = gate
        uv.hypervisor = reflect

    def _run_guest(self, vm: Vm, guest: EarlyBoot) -> bool:
        if vm.cpu.msr & MSR_S and not self.vm_secure:
            self._kill(vm, "the secure VM is not there any more")
            return False
        try:
            wanted = guest.run(vm.cpu, self._memory(vm), self.board.journal)
        except DeviceError as touched:
            self._kill(vm, str(touched))
            return False
        if wanted is None:
            return False
        self.sc(wanted.level)
        return True

    def _memory(self, vm: Vm) -> NormalGuestMemory | SecureGuestMemory:
        """What the guest reaches with the machine state that it has."""
        if self.ultravisor and vm.cpu.msr & MSR_S:
            return SecureGuestMemory(self.ultravisor, vm.lpid)
        return NormalGuestMemory(self.hypervisor.memory, vm)

    def _hypercall(self, vm: Vm) -> None:
        """Of a secure VM the ultravisor passes on number and arguments, no more."""
        uv, cpu = self.ultravisor, vm.cpu
        if uv is None or not cpu.msr & MSR_S:
            self.hypervisor.guest_hypercall(vm.lpid)
            return
        results = uv.hypercall(vm.lpid, cpu.gpr[3], *cpu.gpr[_RESULTS][1:])
        cpu.set_result(*results[: len(cpu.gpr[_RESULTS])])

    def _esm_caller(self, uv: Ultravisor, vm: Vm) -> EsmCaller:
        return EsmCaller(
            lpid=vm.lpid,
            msr=vm.cpu.msr,
            kbase=vm.cpu.gpr[4],
            fdt_address=vm.cpu.gpr[5],
            cpus=vm.cpus,
            profile=uv.profile,
            machine=uv.machine,
            pcr=uv.pcr,
        )

    def _ended(self, cpu: CpuState, end: End, caller: EsmCaller) -> None:
        """The registers with which the guest goes on (esm.md 2.1, step 23; 2.2).

        On entry they are those of the call, whatever the hypervisor made of them.
        """
        self.end = end
        if isinstance(end, Entered):
            kbase, fdt = caller.kbase, caller.fdt_address
            cpu.msr = (caller.msr | MSR_S) & ~(MSR_EE | MSR_PR | MSR_HV)
            cpu.nia, cpu.gpr[3:6] = kbase, [fdt, kbase, 0]
            self.board.journal.add(SOURCE, "esm-entered", kbase=kbase, fdt=fdt)
            return
        self._note(end.reason, type(end).__name__.lower())
        if isinstance(end, Killed):
            self._check_stopped()
        elif end.status is not None:
            cpu.set_result(end.status)

    def _note(self, reason: Reason, how: str) -> None:
        """For the owner of the machine; neither guest nor hypervisor reads it."""
        from pefstack.firmware.ultravisor.mend import mend  # loaded when it is needed

        self.board.journal.add(
            SOURCE,
            "esm-refused",
            how=how,
            step=reason.step,
            name=reason.name,
            reason=reason.text,
            rc=f"0x{reason.rc:03x}" if reason.rc else "",
            mend=mend(reason.name),
        )

    def _kill(self, vm: Vm, text: str) -> None:
        """A VM that the hypervisor ended itself is simply not there any more."""
        uv = self.ultravisor
        vm.cpu.gpr[:] = [0] * GPR_COUNT
        if uv is None or vm.lpid not in uv.svms:
            self.hypervisor.stop(vm, text)
            return
        reason = Reason(step=0, name="memory", text=text)
        self.board.journal.add(SOURCE, "svm-killed", reason=text)
        kill(uv, vm.lpid, reason)
        self._check_stopped()

    def _check_stopped(self) -> None:
        """A hypervisor that comes back from ibm,os-term ends the machine."""
        if self.vm is not None and self.vm.state is not VmState.STOPPED:
            self.halted = True
            self.board.journal.add(SOURCE, "machine-stopped")
