"""What others do while UV_ESM goes on, or behind a secure VM's back."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pefstack import Machine
from pefstack.firmware.guest.early_boot import EarlyBoot
from pefstack.firmware.hypervisor.vm import VmState
from pefstack.firmware.ultravisor import esm_call
from pefstack.firmware.ultravisor.calls import Caller
from pefstack.firmware.ultravisor.codes import PAGE_SHIFT, UvCall, UvStatus
from pefstack.firmware.ultravisor.effects import Aborted, Refused
from pefstack.firmware.ultravisor.esm_state import EsmCaller
from pefstack.firmware.ultravisor.svm import Svm, SvmState
from pefstack.firmware.ultravisor.ultravisor import Ultravisor
from pefstack.firmware.virtualization import Virtualization
from pefstack.hw.chip import MSR_HV, MSR_S
from pefstack.hw.cpu import MSR_LE, MSR_SF

MEASURED = 19  # the step that follows the measurement
KERNEL_PAGE = 0x400000 >> PAGE_SHIFT


@pytest.fixture(scope="module")
def loaded() -> Machine:
    return Machine("svm").run(until="hypervisor")


def parts(machine: Machine) -> tuple[Virtualization, Ultravisor]:
    running = machine.board.running
    assert isinstance(running, Virtualization)
    assert running.ultravisor is not None
    return running, running.ultravisor


def at_step(loaded: Machine, step: int) -> tuple[Virtualization, Ultravisor]:
    """A fork whose VM is inside UV_ESM, in front of this step."""
    running, uv = parts(loaded.fork())
    while not uv.calls or uv.calls[1].step < step:
        assert running.step()
    return running, uv


def hv(uv: Ultravisor, call: UvCall, *args: int) -> int:
    return uv.ultracall(Caller(MSR_HV, 0), (0, 0, 0, call, *args))[0]


def test_what_was_measured_is_not_replaced_by_way_of_a_slot(loaded: Machine) -> None:
    running, uv = at_step(loaded, MEASURED)
    vm = running.vm
    assert vm is not None
    assert hv(uv, UvCall.UNREGISTER_MEM_SLOT, 1, 0) == 0
    assert hv(uv, UvCall.REGISTER_MEM_SLOT, 1, 0, vm.size, 0, 0) == 0
    source = vm.base + (KERNEL_PAGE << PAGE_SHIFT)
    address = KERNEL_PAGE << PAGE_SHIFT
    assert hv(uv, UvCall.PAGE_IN, 1, source, address, 0, PAGE_SHIFT) == UvStatus.P3
    running.run()
    assert isinstance(running.end, Aborted)
    assert running.end.reason.step == 21
    assert running.guest is not None
    assert not running.guest.secrets


@pytest.mark.parametrize("step", [9, 12, 16, 18])
def test_pages_taken_away_on_the_way_end_the_call(loaded: Machine, step: int) -> None:
    running, uv = at_step(loaded, step)
    assert hv(uv, UvCall.UNREGISTER_MEM_SLOT, 1, 0) == 0
    running.run()
    assert running.end is not None
    assert not running.vm_secure
    assert not uv.svms


def test_a_second_processor_does_not_disturb_a_call(loaded: Machine) -> None:
    running, uv = at_step(loaded, 12)
    before = uv.calls[1]
    caller = EsmCaller(lpid=1, msr=MSR_SF | MSR_LE, kbase=0x10000, fdt_address=1)
    refused = esm_call.begin(uv, caller)
    assert isinstance(refused, Refused)
    assert (refused.status, refused.reason.step) == (UvStatus.RETRY, 5)
    odd = EsmCaller(lpid=1, msr=MSR_SF | MSR_LE, kbase=0, fdt_address=1)
    refused = esm_call.begin(uv, odd)
    assert isinstance(refused, Refused)
    assert refused.status == UvStatus.P2
    assert uv.calls[1] is before
    running.run()
    assert running.vm_secure


def test_a_share_without_end_is_refused_at_once(loaded: Machine) -> None:
    """The hypervisor registers as much as it likes; nobody walks through it."""
    _, uv = parts(loaded.fork())
    uv.svms[7] = Svm(lpid=7, state=SvmState.SECURE)
    assert hv(uv, UvCall.REGISTER_MEM_SLOT, 7, 0, 1 << 62, 0, 0) == 0
    asked: list[int] = []

    def refuses(lpid: int, number: int, args: Sequence[int]) -> tuple[int, ...]:
        asked.append(number)
        return (-1,)

    uv.hypervisor = refuses
    more = (uv.memory.size >> PAGE_SHIFT) + 1
    for count in (more, 1 << 40):
        words = (0, 0, 0, UvCall.SHARE_PAGE, 0, count)
        assert uv.ultracall(Caller(MSR_S, 7), words) == (UvStatus.P2,)
        assert asked == []


def test_a_vm_that_its_hypervisor_ends_is_gone(loaded: Machine) -> None:
    running, uv = at_step(loaded, 22)
    while running.end is None:
        running.step()
    assert hv(uv, UvCall.SVM_TERMINATE, 1) == 0
    running.run()
    assert running.vm is not None
    assert running.vm.state is VmState.STOPPED
    assert not running.halted


def test_a_memory_preserving_ipl_leaves_no_secure_memory(loaded: Machine) -> None:
    machine = loaded.fork().run()
    running, uv = parts(machine)
    assert isinstance(running.guest, EarlyBoot)
    assert uv.secure.used_pages > 1000
    machine.memory_preserving_ipl().run(until="ultravisor")
    assert machine.board.secure.used_pages == 0
    page = machine.board.secure.read(1 << 48, 1 << 16)
    assert not any(page)
