"""Ultra-calls: who may make which, slots, registers, the end of a VM (esm.md 3.1)."""

from __future__ import annotations

from typing import Any, Final

import pytest

from pefstack.firmware.hypervisor.vm import VmState
from pefstack.firmware.ultravisor.calls import CALLS, NOT_MODELLED, Caller
from pefstack.firmware.ultravisor.codes import HCall, UvCall, UvStatus
from pefstack.firmware.ultravisor.guest_memory import SecureGuestMemory
from pefstack.hw.chip import MSR_HV, MSR_S
from pefstack.hw.cpu import MSR_PR, MSR_SF
from pefstack.hw.errors import DeviceError
from uv_guest_kit import MEMORY, PAGE
from uv_kit import World, only, touching
from uv_state_kit import aborted, secure, transition

SUSPENDED, TRANSACTIONAL = 1 << 33, 1 << 34
MODES: Final = {
    "hypervisor": MSR_HV,
    "hypervisor's user": MSR_HV | MSR_PR,
    "normal guest": 0,
    "normal user": MSR_PR,
    "secure guest": MSR_S,
    "secure user": MSR_S | MSR_PR,
}
# esm.md 3.1, the column "caller"
OF_SVM: Final = {0xF130, 0xF134, 0xF140}
OF_SVM_ANY: Final = {0xF14C}
OF_GUEST: Final = {0xF110}
OF_HV: Final = {
    *(0xF104, 0xF108, 0xF10C, 0xF114, 0xF118, 0xF11C, 0xF120, 0xF124),
    *(0xF128, 0xF12C, 0xF138, 0xF13C, 0xF144, 0xF148, 0xF150),
}


def allowed(number: int) -> set[str]:
    if number in OF_SVM:
        return {"secure guest"}
    if number in OF_SVM_ANY:
        return {"secure guest", "secure user"}
    return {"hypervisor"} if number in OF_HV else set()


def test_the_table_has_every_call() -> None:
    assert set(UvCall) == OF_SVM | OF_SVM_ANY | OF_GUEST | OF_HV
    assert set(CALLS) == set(UvCall) - OF_GUEST


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("number", UvCall, ids=lambda each: each.name)
def test_each_call_of_each_caller(number: UvCall, mode: str) -> None:
    """The class is checked before anything else, what is not modelled as well."""
    world = secure()
    before = world.svm.fork()
    caller = Caller(MODES[mode], world.vm.lpid)
    words = (0, 0, 0, number, *[1 << 40] * 9)
    status = world.uv.ultracall(caller, words)[0]
    if mode not in allowed(number):
        assert status == UvStatus.PERMISSION
        assert world.svm == before
    elif number in NOT_MODELLED or number in (UvCall.PAGE_INVAL, UvCall.PAGE_OUT):
        assert status == UvStatus.FUNCTION
    else:
        assert status != UvStatus.PERMISSION


@pytest.mark.parametrize("number", sorted(OF_HV))
def test_a_caller_within_a_transaction(number: int) -> None:
    world = secure()
    for state in (SUSPENDED, TRANSACTIONAL):
        caller = Caller(MSR_HV | state, 0)
        assert world.uv.ultracall(caller, [number] * 13)[0] == UvStatus.BAD_MODE
        user = Caller(MSR_HV | MSR_PR | state, 0)
        assert world.uv.ultracall(user, [number] * 13)[0] == UvStatus.PERMISSION


def test_unknown_numbers() -> None:
    world = secure()
    known = set(UvCall)
    for number in (0, 1, 0xF000, 0xF100, 0xF154, 0xEF00, 1 << 32 | 0xF104, 1 << 63):
        assert number not in known
        assert world.hv(number) == UvStatus.FUNCTION
        assert world.sc2(number)[0] == UvStatus.FUNCTION
    for number in range(0xF100, 0xF158):
        assert (world.hv(number) == UvStatus.FUNCTION) is (
            number not in known
            or (
                number in (*NOT_MODELLED, UvCall.PAGE_OUT, UvCall.PAGE_INVAL)
                and number in OF_HV
            )
        )


def test_arguments_that_nobody_set_are_0() -> None:
    for number in CALLS:
        assert secure().uv.ultracall(Caller(MSR_HV, 0), (0, 0, 0, number))


@pytest.mark.parametrize("made", [secure, transition, aborted])
def test_only_a_secure_vm_makes_calls_of_one(made: object) -> None:
    """A VM with the S bit, but without a record in that state, is none."""
    assert callable(made)
    world: World = made()
    caller = Caller(MSR_SF | MSR_S, world.vm.lpid)
    for number in OF_SVM | OF_SVM_ANY:
        status = world.uv.ultracall(caller, (0, 0, 0, number, *[0] * 9))[0]
        assert (status == UvStatus.PERMISSION) is (made is not secure)
        other = Caller(MSR_SF | MSR_S, world.vm.lpid + 1)
        words = (0, 0, 0, number, *[0] * 9)
        assert world.uv.ultracall(other, words)[0] == UvStatus.PERMISSION


SLOTS: Final = {
    "unaligned": (MEMORY + 1, PAGE, 0, 1),
    "half a page": (MEMORY + PAGE // 2, PAGE, 0, 1),
    "wraps": ((1 << 64) - PAGE, 2 * PAGE, 0, 1),
    "to the last byte": ((1 << 64) - PAGE, PAGE, 0, 1),
    "slot 512": (MEMORY, PAGE, 0, 512),
    "slot -1": (MEMORY, PAGE, 0, (1 << 64) - 1),
    "the same": (0, MEMORY, 0, 1),
    "overlaps below": (MEMORY - PAGE, 2 * PAGE, 0, 1),
    "holds another": (0, 2 * MEMORY, 0, 1),
    "within another": (PAGE, PAGE, 0, 1),
    "number taken": (MEMORY, PAGE, 0, 0),
}


@pytest.mark.parametrize("words", SLOTS.values(), ids=SLOTS)
@pytest.mark.parametrize("made", [secure, transition])
def test_slots_that_are_refused(made: object, words: tuple[int, ...]) -> None:
    assert callable(made)
    world: World = made()
    before = dict(world.svm.slots)
    found = world.hv(UvCall.REGISTER_MEM_SLOT, world.vm.lpid, *words)
    assert found == UvStatus.PARAMETER
    assert world.svm.slots == before


def test_slots_that_are_taken() -> None:
    """The highest number, flags whatever they are, right behind another."""
    world = secure()
    for number, start in ((1, MEMORY), (511, MEMORY + PAGE)):
        words = (world.vm.lpid, start, PAGE, (1 << 64) - 1, number)
        assert world.hv(UvCall.REGISTER_MEM_SLOT, *words) == 0
    assert sorted(world.svm.slots) == [0, 1, 511]


def test_no_slot_without_a_record_or_memory_and_none_of_an_aborted_vm() -> None:
    words = (MEMORY, PAGE, 0, 1)
    assert secure().hv(UvCall.REGISTER_MEM_SLOT, 7, *words) == UvStatus.PARAMETER
    world = aborted()
    lpid = world.vm.lpid
    assert world.hv(UvCall.REGISTER_MEM_SLOT, lpid, *words) == UvStatus.PARAMETER
    world = secure()
    world.leave_free(0)
    assert world.hv(UvCall.REGISTER_MEM_SLOT, lpid, *words) == UvStatus.PARAMETER


def test_unregister_always_succeeds() -> None:
    world = secure()
    assert world.hv(UvCall.UNREGISTER_MEM_SLOT, 99, 0) == 0
    assert world.hv(UvCall.UNREGISTER_MEM_SLOT, world.vm.lpid, 77) == 0
    assert sorted(world.svm.slots) == [0]


@pytest.mark.parametrize("again", [False, True])
def test_a_slot_that_is_taken_back_ends_a_secure_vm_at_its_first_touch(
    again: bool,
) -> None:
    """Its pages are wiped, and lost for good: a new slot does not bring them back."""
    world = secure()
    lpid = world.vm.lpid
    assert world.hv(UvCall.UNREGISTER_MEM_SLOT, lpid, 0) == 0
    assert world.blank
    if again:
        assert world.hv(UvCall.REGISTER_MEM_SLOT, lpid, 0, MEMORY, 0, 0) == 0
        source = world.vm.base
        found = world.hv(UvCall.PAGE_IN, lpid, source, PAGE, 0, 16)
        assert found == UvStatus.P3
    world.running.guest = touching(PAGE)
    world.running.run()
    assert world.running.halted  # its RTAS buffers are gone too: nobody to ask
    assert world.uv.svms == {}
    assert world.blank
    assert "svm-killed" in [each.kind for each in world.board.journal]


def test_terminate_frees_and_blanks_everything() -> None:
    for made in (secure, transition, aborted):
        world = made()
        world.hv(UvCall.WRITE_PATE, world.vm.lpid, 1, 2)
        assert world.hv(UvCall.SVM_TERMINATE, world.vm.lpid) == 0
        assert (world.uv.svms, world.uv.pates) == ({}, {})
        assert world.used_pages == 0
        assert world.blank


def test_terminate_of_an_unknown_vm_does_nothing() -> None:
    world = secure()
    before = world.svm.fork()
    for lpid in (0, 2, 99, (1 << 64) - 1):
        assert world.hv(UvCall.SVM_TERMINATE, lpid) == 0
    assert world.svm == before


def test_a_terminated_vm_does_not_run_on() -> None:
    world = secure()
    world.hv(UvCall.SVM_TERMINATE, world.vm.lpid)
    world.running.guest = touching(PAGE)
    world.running.run()
    assert world.vm.state is VmState.STOPPED
    assert not world.running.halted


def test_the_partition_table_entry_of_a_vm_with_a_record_is_the_ultravisors() -> None:
    world = secure()
    lpid = world.vm.lpid
    assert world.hv(UvCall.WRITE_PATE, 5, 0x11, 0x22) == 0
    assert world.uv.pates[5] == (0x11, 0x22)
    assert world.hv(UvCall.WRITE_PATE, lpid, 0x11, 0x22) == 0
    assert world.uv.pates[lpid] == (0, 0x22)


SPRS: Final = {0xB4: 3, 0xBC: 3, 0xBB: 3, 0x352: 1, 0x31F: 1, 0xB5: 0, 0: 0, 1 << 40: 0}


@pytest.mark.parametrize("number", SPRS)
def test_restricted_registers(number: int) -> None:
    """Bit 0: can be written; bit 1: can be read, its value is in r5."""
    world = secure()
    gate = world.kvm.gate
    assert gate is not None
    written = gate(UvCall.RESTRICTED_SPR_WRITE, number, 0xABC)[0]
    assert (written == 0, written) == (bool(SPRS[number] & 1), written)
    assert written in (0, UvStatus.PARAMETER)
    found = gate(UvCall.RESTRICTED_SPR_READ, number)
    right = (0, number, 0xABC) if SPRS[number] & 2 else (UvStatus.PARAMETER,)
    assert found == right


PROTECTED: Final = (0x50001, 0x10005, 0x10006, *range(0x10010, 0x10020))


def test_scoms() -> None:
    """Read all, write none that the chain of trust stands on (project decision)."""
    world = secure()
    gate = world.kvm.gate
    assert gate is not None
    chip = world.board.chip
    for address in PROTECTED:
        if address != 0x10006:
            assert gate(UvCall.READ_SCOM, 0, address) == (0, chip.get_scom(address))
        assert gate(UvCall.WRITE_SCOM, 0, address, 0) == (UvStatus.PERMISSION,)
    assert gate(UvCall.WRITE_SCOM, 0, 0x50182, 0x1234) == (0,)
    assert gate(UvCall.READ_SCOM, 0, 0x50182) == (0, 0x1234)
    for number, words in ((UvCall.READ_SCOM, ()), (UvCall.WRITE_SCOM, (1,))):
        assert gate(number, 0, 0xDEAD, *words) == (-26,)
        assert gate(number, 1, 0x50182, *words) == (UvStatus.PARAMETER,)


def test_a_vm_that_is_not_secure_reaches_no_secure_memory() -> None:
    """Whatever its MSR says: not on its way, not after an abort."""
    for world in (transition(), aborted()):
        memory = SecureGuestMemory(world.uv, world.vm.lpid)
        with pytest.raises(DeviceError, match="not that of a secure VM"):
            memory.read(PAGE, 1)
        with pytest.raises(DeviceError, match="not that of a secure VM"):
            memory.write(PAGE, b"1")


@pytest.mark.parametrize("honest", [True, False])
def test_a_killed_vm_calls_os_term_and_the_machine_stops_if_that_comes_back(
    honest: bool,
) -> None:
    """esm.md 2.3; the guest touches what is no memory of its own."""
    world = secure()
    if not honest:
        world.kvm.instead = only(HCall.RTAS, 0)
    world.running.guest = touching(MEMORY)
    world.running.run()
    assert world.kvm.seen[-1] == HCall.RTAS
    assert world.running.halted is not honest
    assert (world.vm.state is VmState.STOPPED) is honest
    assert world.uv.svms == {}
    assert world.blank
    assert not world.running.step()


def test_a_kill_wipes_before_the_hypervisor_hears_of_it() -> None:
    world, found = secure(), []

    def instead(honest: Any, _lpid: int, number: int, _args: Any) -> Any:
        found.append((number, world.blank))

    world.kvm.instead = instead
    world.running.guest = touching(MEMORY)
    world.running.run()
    assert found == [(HCall.RTAS, True)]
