"""KVM's side of a secure VM: codes, order of checks, what it asks the ultravisor."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvm_kit import SIZE, Gate, Kvm, content, gfns
from pefstack.firmware.hypervisor.vm import MemorySlot, PageOwner, VmState
from pefstack.firmware.ultravisor.codes import (
    PAGE_SIZE,
    HCall,
    HStatus,
    UvCall,
    UvStatus,
)
from pefstack.hw.cpu import MSR_PR, MSR_SF
from pefstack.hw.errors import DeviceError
from pefstack.hw.journal import Journal
from pefstack.hw.memory import Memory
from pefstack.hw.secure_memory import SECURE_BIT, HypervisorMemory

PAGES = (HCall.SVM_PAGE_IN, HCall.SVM_PAGE_OUT)


@pytest.fixture
def kvm() -> Kvm:
    return Kvm()


def test_vms_have_their_own_memory_and_partition(kvm: Kvm) -> None:
    other = kvm.hypervisor.create_vm(3 * PAGE_SIZE, 2)
    assert (kvm.vm.lpid, other.lpid) == (1, 2)
    assert kvm.vm.base % PAGE_SIZE == other.base % PAGE_SIZE == 0
    assert other.base + other.size <= kvm.vm.base
    assert kvm.vm.base + kvm.vm.size <= kvm.memory.size
    assert kvm.kinds() == ["vm-created", "vm-created"]


def test_a_vm_that_does_not_fit() -> None:
    with pytest.raises(DeviceError, match="no room"):
        Kvm().hypervisor.create_vm(1 << 32, 1)


# --- H_SVM_INIT_START


def test_start_registers_every_slot(kvm: Kvm) -> None:
    kvm.vm.slots = MemorySlot(0, 0, 4 << 16), MemorySlot(7, 5 << 16, 3 << 16)
    assert kvm.call(HCall.SVM_INIT_START) == (HStatus.SUCCESS,)
    slots = [(1, 0, 4 << 16, 0, 0), (1, 5 << 16, 3 << 16, 0, 7)]
    assert kvm.gate.made(UvCall.REGISTER_MEM_SLOT) == slots
    assert kvm.vm.state is VmState.STARTING


def test_start_without_an_ultravisor(kvm: Kvm) -> None:
    kvm.hypervisor.gate = None
    assert kvm.call(HCall.SVM_INIT_START) == (HStatus.UNSUPPORTED,)
    assert kvm.vm.state is VmState.NORMAL


@pytest.mark.parametrize("state", [*VmState][1:])
def test_start_of_a_vm_that_is_not_normal(kvm: Kvm, state: VmState) -> None:
    kvm.vm.state = state
    assert kvm.call(HCall.SVM_INIT_START) == (HStatus.STATE,)
    assert kvm.gate.calls == []


def test_a_slot_that_is_refused_takes_the_others_back(kvm: Kvm) -> None:
    kvm.vm.slots = tuple(MemorySlot(n, n << 16, 1 << 16) for n in range(3))
    kvm.gate.refused[UvCall.REGISTER_MEM_SLOT, 1, 2 << 16, 1 << 16, 0, 2] = -4
    assert kvm.call(HCall.SVM_INIT_START) == (HStatus.PARAMETER,)
    assert kvm.gate.made(UvCall.UNREGISTER_MEM_SLOT) == [(1, 0), (1, 1)]
    assert kvm.call(HCall.SVM_INIT_ABORT) == (HStatus.PARAMETER,)
    assert kvm.vm.state is VmState.NORMAL


# --- H_SVM_PAGE_IN, H_SVM_PAGE_OUT


@pytest.mark.parametrize("call", PAGES)
@pytest.mark.parametrize(
    ("args", "status"),
    [
        ((0, 0, 12), HStatus.P3),
        ((SIZE, 2, 21), HStatus.P3),  # the order before the flags before the address
        ((0, 2, 16), HStatus.P2),
        ((SIZE, 2, 16), HStatus.P2),
        ((SIZE, 0, 16), HStatus.PARAMETER),
        (((1 << 64) - 1, 0, 16), HStatus.PARAMETER),
        ((SECURE_BIT, 0, 16), HStatus.PARAMETER),
    ],
)
def test_paging_refusals(
    kvm: Kvm, call: HCall, args: tuple[int, ...], status: HStatus
) -> None:
    assert kvm.call(call, *args) == (HStatus.UNSUPPORTED,)
    assert kvm.started().call(call, *args) == (status,)
    assert kvm.gate.calls == []


def test_page_in_hands_over_the_normal_page(kvm: Kvm) -> None:
    assert kvm.started().call(HCall.SVM_PAGE_IN, 3 << 16, 0, 16) == (0,)
    words = (1, kvm.vm.base + (3 << 16), 3 << 16, 0, 16)
    assert kvm.gate.calls == [(UvCall.PAGE_IN, *words)]
    assert kvm.vm.pages == {3: PageOwner.ULTRAVISOR}


def test_page_in_of_an_address_inside_a_page(kvm: Kvm) -> None:
    assert kvm.started().call(HCall.SVM_PAGE_IN, (3 << 16) + 8, 0, 16) == (0,)
    assert gfns(kvm.gate.made(UvCall.PAGE_IN)) == [3]


def test_page_in_twice_is_refused_by_kvm(kvm: Kvm) -> None:
    kvm.started().call(HCall.SVM_PAGE_IN, 0, 0, 16)
    assert kvm.call(HCall.SVM_PAGE_IN, 0, 0, 16) == (HStatus.PARAMETER,)
    assert len(kvm.gate.calls) == 1


@pytest.mark.parametrize("flags", [0, 1])
def test_page_in_that_the_ultravisor_refuses(kvm: Kvm, flags: int) -> None:
    kvm.started().gate.refused[UvCall.PAGE_IN] = UvStatus.P2
    assert kvm.call(HCall.SVM_PAGE_IN, 0, flags, 16) == (HStatus.PARAMETER,)
    assert kvm.vm.pages == {}


def test_a_shared_page_is_the_normal_page(kvm: Kvm) -> None:
    kvm.started().call(HCall.SVM_PAGE_IN, 0, 0, 16)
    assert kvm.call(HCall.SVM_PAGE_IN, 0, 1, 16) == (HStatus.SUCCESS,)
    assert gfns(kvm.gate.made(UvCall.PAGE_IN)) == [0, 0]
    assert kvm.vm.pages == {0: PageOwner.SHARED}
    assert kvm.gate.made(UvCall.PAGE_OUT) == []


def test_share_is_no_flag_of_page_out(kvm: Kvm) -> None:
    assert kvm.started().call(HCall.SVM_PAGE_OUT, 0, 1, 16) == (HStatus.P2,)


def test_page_out_asks_for_what_the_ultravisor_has(kvm: Kvm) -> None:
    kvm.started().call(HCall.SVM_PAGE_IN, 2 << 16, 0, 16)
    assert kvm.call(HCall.SVM_PAGE_OUT, 2 << 16, 0, 16) == (HStatus.SUCCESS,)
    words = (1, kvm.vm.base + (2 << 16), 2 << 16, 0, 16)
    assert kvm.gate.made(UvCall.PAGE_OUT) == [words]
    assert kvm.call(HCall.SVM_PAGE_OUT, 2 << 16, 0, 16) == (HStatus.SUCCESS,)
    assert len(kvm.gate.made(UvCall.PAGE_OUT)) == 1


def test_page_out_that_the_ultravisor_refuses(kvm: Kvm) -> None:
    kvm.started().call(HCall.SVM_PAGE_IN, 0, 0, 16)
    kvm.gate.refused[UvCall.PAGE_OUT] = UvStatus.PARAMETER
    assert kvm.call(HCall.SVM_PAGE_OUT, 0, 0, 16) == (HStatus.PARAMETER,)
    assert kvm.vm.pages == {0: PageOwner.ULTRAVISOR}


# --- H_SVM_INIT_DONE


def test_done_hands_over_the_rest_and_forgets_its_copies(kvm: Kvm) -> None:
    kvm.started().call(HCall.SVM_PAGE_IN, 2 << 16, 0, 16)
    kvm.call(HCall.SVM_PAGE_IN, 5 << 16, 1, 16)
    assert kvm.page(2) == content(2)  # kept until the VM is secure
    kvm.gate.calls.clear()
    assert kvm.call(HCall.SVM_INIT_DONE) == (HStatus.SUCCESS,)
    assert gfns(kvm.gate.made(UvCall.PAGE_IN)) == [0, 1, 3, 4, 6, 7]
    assert kvm.vm.state is VmState.SECURE
    blank = bytes(PAGE_SIZE)
    assert [n for n in range(8) if kvm.page(n) != blank] == [5]
    assert kvm.page(5) == content(5)


def test_done_before_start_and_twice(kvm: Kvm) -> None:
    assert kvm.call(HCall.SVM_INIT_DONE) == (HStatus.UNSUPPORTED,)
    assert kvm.secure().call(HCall.SVM_INIT_DONE) == (HStatus.STATE,)
    assert kvm.gate.calls == []


def test_done_keeps_its_copies_when_a_page_is_refused(kvm: Kvm) -> None:
    refused = (UvCall.PAGE_IN, 1, kvm.vm.base + (6 << 16), 6 << 16, 0, 16)
    kvm.started().gate.refused[refused] = UvStatus.P3
    assert kvm.call(HCall.SVM_INIT_DONE) == (HStatus.STATE,)
    assert kvm.vm.state is VmState.STARTING
    assert [kvm.page(n) for n in range(8)] == [content(n) for n in range(8)]
    assert kvm.call(HCall.SVM_INIT_ABORT) == (HStatus.PARAMETER,)


def test_a_page_that_goes_in_later_is_forgotten_at_once(kvm: Kvm) -> None:
    kvm.secure().call(HCall.SVM_PAGE_OUT, 0, 0, 16)
    kvm.memory.write(kvm.vm.base, b"ciphertext")
    assert kvm.call(HCall.SVM_PAGE_IN, 0, 0, 16) == (HStatus.SUCCESS,)
    assert kvm.page(0) == bytes(PAGE_SIZE)


# --- H_SVM_INIT_ABORT


@pytest.mark.parametrize("answer", [UvStatus.SUCCESS, UvStatus.STATE])
def test_abort_leaves_a_vm_that_runs(kvm: Kvm, answer: UvStatus) -> None:
    kvm.started().call(HCall.SVM_PAGE_IN, 1 << 16, 0, 16)
    kvm.call(HCall.SVM_PAGE_IN, 2 << 16, 1, 16)
    kvm.gate.refused[UvCall.PAGE_OUT] = answer  # whatever it answers
    assert kvm.call(HCall.SVM_INIT_ABORT) == (HStatus.PARAMETER,)
    assert gfns(kvm.gate.made(UvCall.PAGE_OUT)) == [1]
    assert kvm.gate.calls[-1] == (UvCall.SVM_TERMINATE, 1)
    assert kvm.vm.state is VmState.NORMAL and not kvm.vm.pages
    assert [kvm.page(n) for n in range(8)] == [content(n) for n in range(8)]
    assert kvm.started().call(HCall.SVM_INIT_DONE) == (HStatus.SUCCESS,)


def test_abort_before_start_and_after_done(kvm: Kvm) -> None:
    assert kvm.call(HCall.SVM_INIT_ABORT) == (HStatus.UNSUPPORTED,)
    assert kvm.secure().call(HCall.SVM_INIT_ABORT) == (HStatus.STATE,)
    assert kvm.gate.calls == [] and kvm.vm.state is VmState.SECURE


# --- who may call, and what cannot be


@pytest.mark.parametrize("number", [0, 0xEF18, 0xF130, 1 << 63])
def test_an_unknown_number(kvm: Kvm, number: int) -> None:
    assert kvm.hypervisor.hypercall(1, number, ()) == (HStatus.FUNCTION,)


@pytest.mark.parametrize("number", HCall)
def test_an_unknown_partition(kvm: Kvm, number: HCall) -> None:
    assert kvm.hypervisor.hypercall(9, number, ()) == (HStatus.PARAMETER,)


@pytest.mark.parametrize("number", [c for c in HCall if c.name.startswith("SVM_")])
def test_a_guest_may_not_make_the_ultravisors_calls(kvm: Kvm, number: HCall) -> None:
    kvm.vm.cpu.gpr[3] = number
    assert kvm.hypervisor.guest_hypercall(1) == (HStatus.UNSUPPORTED,)
    assert kvm.vm.cpu.gpr[3] == (1 << 64) + HStatus.UNSUPPORTED
    assert kvm.vm.state is VmState.NORMAL


def test_a_program_of_the_guest_may_make_none(kvm: Kvm) -> None:
    kvm.vm.cpu.gpr[3], kvm.vm.cpu.msr = HCall.RTAS, MSR_SF | MSR_PR
    assert kvm.hypervisor.guest_hypercall(1) == (HStatus.FUNCTION,)
    assert kvm.vm.state is VmState.NORMAL


def test_secure_memory_that_it_touches_is_a_fault_in_the_journal(kvm: Kvm) -> None:
    kvm.started().vm.base |= SECURE_BIT
    assert kvm.call(HCall.SVM_TPM_COMM, 1, 0, 10, 0, 4096) == (HStatus.HARDWARE,)
    assert kvm.kinds()[-1] == "fault"


def test_secure_memory_is_not_blanked(kvm: Kvm) -> None:
    kvm.started().vm.base |= SECURE_BIT
    assert kvm.call(HCall.SVM_INIT_DONE) == (HStatus.HARDWARE,)
    assert kvm.kinds()[-1] == "fault"


def test_a_vm_that_ends_leaves_nothing(kvm: Kvm) -> None:
    kvm.started().hypervisor.destroy_vm(1)
    assert kvm.gate.calls == [(UvCall.SVM_TERMINATE, 1)]
    assert [kvm.page(n) for n in range(8)] == [bytes(PAGE_SIZE)] * 8


def test_a_fork_has_a_future_of_its_own(kvm: Kvm) -> None:
    kvm.started().call(HCall.SVM_PAGE_IN, 0, 0, 16)
    memory, journal = HypervisorMemory(kvm.memory.fork()), Journal()
    other = kvm.hypervisor.fork(memory, kvm.tpm, journal)
    other.gate = Gate()
    assert other.hypercall(1, HCall.SVM_INIT_DONE, ()) == (HStatus.SUCCESS,)
    assert other.vms[1].state is VmState.SECURE
    assert kvm.vm.state is VmState.STARTING and kvm.page(4) == content(4)
    assert kvm.vm.pages == {0: PageOwner.ULTRAVISOR} and kvm.gate.calls[1:] == []


class Watched(HypervisorMemory):
    """Refuses, as a defect, what is not of the one VM."""

    def __init__(self, memory: Memory, allowed: range) -> None:
        super().__init__(memory)
        self.allowed = allowed

    def read(self, address: int, size: int) -> bytes:
        assert address in self.allowed and address + size <= self.allowed.stop
        return super().read(address, size)

    def write(self, address: int, data: bytes | memoryview) -> None:
        assert address in self.allowed and address + len(data) <= self.allowed.stop
        super().write(address, data)

    def blank(self, address: int, size: int) -> None:
        assert address in self.allowed and address + size <= self.allowed.stop
        super().blank(address, size)


WORD = st.one_of(
    st.integers(0, 18),
    st.integers(0, SIZE + PAGE_SIZE),
    st.sampled_from([16, 4096, SIZE - 1, SIZE, SECURE_BIT, (1 << 64) - 1]),
)


@given(
    st.lists(
        st.tuples(st.sampled_from(HCall), st.lists(WORD, max_size=9)), max_size=12
    ),
    st.sampled_from([0, UvStatus.P2, UvStatus.STATE]),
)
def test_no_call_harms_the_host(
    calls: list[tuple[HCall, list[int]]], answer: int
) -> None:
    """Whatever comes: a known code, only the VM's own memory, and no exception."""
    kvm = Kvm()
    kvm.tpm.response = bytes(16)
    kvm.gate.refused[UvCall.PAGE_IN] = kvm.gate.refused[UvCall.PAGE_OUT] = answer
    own = range(kvm.vm.base, kvm.vm.base + kvm.vm.size)
    kvm.hypervisor.memory = Watched(kvm.memory, own)
    for number, args in calls:
        status, *_ = kvm.call(number, *args)
        assert status in set(HStatus)
    assert "fault" not in kvm.kinds()
