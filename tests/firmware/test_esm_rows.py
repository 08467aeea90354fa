"""Rows of the checklist that UV_ESM decides, through the whole call (P14 to P24)."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esm_case_kit import operand, raw_operand
from esm_kit import SEALED_DATA, V2, flipped, operand_bytes, with_bytes
from pefstack import Machine
from pefstack.firmware.guest.early_boot import Phase
from pefstack.firmware.ultravisor.codes import HCall, UvCall, UvStatus
from pefstack.firmware.ultravisor.effects import End
from pefstack.firmware.ultravisor.files import name_words, part_bytes
from pefstack.firmware.virtualization import Virtualization
from pefstack.hw.chip import MSR_S
from pefstack.hw.secure_memory import SecureFault
from tpm_kit import SHA256, command, extend, rc_of
from uv_guest_kit import (
    KBASE,
    LINE,
    MEMORY,
    PAGE,
    RTAS_AT,
    RTAS_TEXT,
    SHARED_AT,
    Guest,
    archive,
    cell,
    ours,
    sealed_slot,
    v2_guest,
    vector,
)
from uv_kit import World, entered, refusal
from uv_state_kit import secure

SECRETS: Final = {name: bytes.fromhex(raw) for _, name, raw in V2["blocks"][1:]}
PASSPHRASE: Final = next(iter(SECRETS))
CUSTOMER: Final = SECRETS["crypttab"]


def called(guest: Guest) -> tuple[World, End]:
    world = World().place(guest)
    return world, world.esm()


def refused(guest: Guest) -> tuple[int, str]:
    """Step and name; the guest gets -4, no secret, and the machine keeps nothing."""
    world, end = called(guest)
    assert world.r3 == -4
    assert read(world, PASSPHRASE) is None
    assert world.blank
    return refusal(end)


def read(world: World, name: str) -> bytes | None:
    """The first part of a secret, if the guest gets one."""
    words = world.sc2(UvCall.ESMB_GET_FILE, 0, *name_words(name))
    return part_bytes(words[0], words[1:9]) if words[0] >= 0 else None


def test_p14_who_has_the_tpm_cannot_export_the_storage_key() -> None:
    """fixedTPM and fixedParent stand in its public area; Duplicate is refused."""
    world = secure()
    answer = world.board.tpm.execute(command(0x173, handles=(0x81800002,)))
    assert rc_of(answer) == 0
    assert int.from_bytes(answer[16:20], "big") == 0x30432
    area = bytes.fromhex("00000009 40000009 0000 01 0000")
    params = b"\0\0" + b"\0\x10"
    tags = b"\x80\x02"
    size = 10 + 8 + len(area) + len(params)
    raw = tags + cell(size) + cell(0x14B) + cell(0x81800002) + cell(0x40000007)
    assert rc_of(world.board.tpm.execute(raw + area + params)) != 0


def test_p15_the_slot_of_this_machine_opens_and_the_passphrase_is_served() -> None:
    world, end = called(Guest(operand=ours(operand_bytes("several.bin"), number=3)))
    assert entered(end)
    assert read(world, PASSPHRASE) == SECRETS[PASSPHRASE]


CHANGED: Final = {
    "kernel": {"kernel": flipped(vector("in/vmlinux-a.bin"), -1 % 520)},
    "command line": {"bootargs": b"init=/bin/sh svm=0\0"},
    "initramfs": {"initrd": flipped(vector("in/initrd-a.cpio"), 100)},
    "RTAS": {"rtas": flipped(RTAS_TEXT, 19)},
}


@pytest.mark.parametrize("file", ["good.bin", "clear-integrity.bin"])
@pytest.mark.parametrize("part", CHANGED)
def test_p16_each_of_the_four_parts_decides(part: str, file: str) -> None:
    guest = v2_guest(file, **CHANGED[part])
    assert refused(guest) == (18, "E_DIGEST")
    assert entered(called(v2_guest(file))[1])


@pytest.mark.parametrize("at", [0, 31])
def test_p17_another_seed_gives_other_keys(at: int) -> None:
    data = flipped(SEALED_DATA, at)
    assert refused(operand("good.bin", data)()) == (16, "E_MAC")


def test_p17_nothing_of_the_secrets_is_in_the_guest_before_they_are_read() -> None:
    world = secure()
    for content in filter(None, SECRETS.values()):
        assert content not in world.read(0, world.vm.size)
        assert content not in world.secure_bytes()


def test_p18_sealed_data_over_a_placeholder_and_no_other_byte() -> None:
    before = operand_bytes("placeholder.bin")
    assert refused(Guest(operand=before)) == (16, "E_NO_SLOT")
    for number in range(4):
        after = ours(before, number=number)
        at = 32 + 2048 * number
        assert with_bytes(after, at, before[at : at + 2048]) == before
        assert entered(called(Guest(operand=after))[1])


def test_p19_in_front_of_the_initramfs_and_where_the_wrapper_says() -> None:
    made = ours(operand_bytes())
    front = Guest(initrd=archive(made) + vector("in/initrd-a.cpio"))
    for guest in (front, Guest(operand=made)):
        world, end = called(guest)
        assert entered(end)
        assert read(world, PASSPHRASE) == SECRETS[PASSPHRASE]


@pytest.mark.parametrize("name", ["svm", "svm-zimage"])
def test_p19_both_machines_boot_into_a_secure_vm(name: str) -> None:
    running = Machine(name).run().board.running
    assert isinstance(running, Virtualization)
    assert running.vm_secure


def test_p20_a_vm_is_normal_until_it_calls_and_stays_so_without_an_operand() -> None:
    world = World().place(Guest())
    assert not world.vm.cpu.msr & MSR_S
    assert world.uv.svms == {}
    assert refusal(world.esm()) == (14, "no-operand")
    assert not world.vm.cpu.msr & MSR_S
    assert (world.uv.svms, world.r3) == ({}, -4)


def test_p20_the_same_machine_without_svm_on_runs_a_normal_vm() -> None:
    machine = Machine("svm", settings=['image.guest.append="console=hvc0"']).run()
    running = machine.board.running
    assert isinstance(running, Virtualization)
    assert running.guest is not None
    assert running.guest.phase is Phase.RUNNING
    assert not running.vm_secure
    assert running.ultravisor is not None
    assert running.ultravisor.svms == {}


BAD_MAC: Final = operand_bytes("placeholder.bin")[:-1] + b"\xff"
# everything behind a step is wrong too: its reason is told, and no later one
ORDER: Final = {
    "E_NO_SLOT": BAD_MAC,
    "E_UNSEAL": ours(BAD_MAC),
    "E_SEED": ours(BAD_MAC, SEALED_DATA[:39]),
    "E_MAC": ours(BAD_MAC),
    "E_TOC_TYPE": ours(operand_bytes("toc-type9.bin")),
    "E_ROLLBACK": ours(operand_bytes("rollback.bin")),
    "E_DIGEST": ours(operand_bytes()),
}


@pytest.mark.parametrize("name", ORDER)
def test_p21_the_first_no_ends_the_attempt(name: str) -> None:
    """Authorized, TPM policy, HMAC, its content, then the guest (figure 7B)."""
    world = World().place(Guest(operand=ORDER[name], bootargs=b"other\0"))
    moved = name == "E_UNSEAL"
    if moved:
        world.board.tpm.execute(extend(6, (SHA256, bytes(32))))
    assert refusal(world.esm())[1] == name
    assert world.r3 == -4
    asked = world.kvm.seen.count(HCall.SVM_TPM_COMM) - 1
    assert asked == {"E_NO_SLOT": 0, "E_UNSEAL": 8}.get(name, 15)
    assert HCall.SVM_INIT_DONE not in world.kvm.seen
    assert world.uv.reasons[-1][1].rc == (0x99D if moved else 0)
    assert read(world, PASSPHRASE) is None


def test_p22_without_sealed_data_for_this_machine() -> None:
    assert refused(raw_operand("placeholder.bin")()) == (16, "E_NO_SLOT")
    assert refused(raw_operand("several.bin")())[1] in ("E_NO_SLOT", "E_UNSEAL")


def test_p22_a_machine_identifier_is_checked() -> None:
    """The right sealed data under another machine's name is not tried at all."""
    slot = sealed_slot()
    raw = with_bytes(operand_bytes("placeholder.bin"), 32, flipped(slot, 8))
    assert refused(Guest(operand=raw)) == (16, "E_NO_SLOT")
    anybody = with_bytes(slot, 8, bytes(32))
    raw = with_bytes(operand_bytes("placeholder.bin"), 32, anybody)
    assert entered(called(Guest(operand=raw))[1])


def test_p22_the_slots_of_others_are_passed_over() -> None:
    """Ours is the last of six, behind one that anybody may try and that does not."""
    raw = ours(operand_bytes("several.bin"), number=5)
    raw = (
        raw[: 32 + 2048 * 4]
        + with_bytes(operand_bytes()[32 + 2 * 2048 : 32 + 3 * 2048], 8, bytes(32))
        + raw[32 + 2048 * 5 :]
    )
    assert entered(called(Guest(operand=raw))[1])


def left_in_normal_memory(world: World) -> bytes:
    """But for the RTAS text: the hypervisor keeps its page of the RTAS area."""
    return world.normal_bytes().replace(RTAS_TEXT, bytes(len(RTAS_TEXT)))


def test_p23_the_hypervisor_reads_nothing_of_a_secure_vm() -> None:
    world = secure()
    for page in world.svm.pages.values():
        if page.secure:
            with pytest.raises(SecureFault):
                world.kvm.memory.read(page.secure, 1)
            with pytest.raises(SecureFault):
                world.kvm.memory.write(page.secure, b"\0")
    assert left_in_normal_memory(world) == bytes(SHARED_AT)


def test_p23_secrets_go_to_the_secure_vm_alone() -> None:
    world = secure()
    first = world.vm
    world.place(v2_guest(bootargs=b"other\0"))
    assert not entered(world.esm())
    assert read(world, PASSPHRASE) is None
    world.running.vm = first
    assert read(world, PASSPHRASE) == SECRETS[PASSPHRASE]
    assert world.hv(UvCall.ESMB_GET_FILE, 0, *name_words(PASSPHRASE)) == -11


HV_CALLS: Final = (
    *(UvCall.WRITE_PATE, UvCall.REGISTER_MEM_SLOT, UvCall.UNREGISTER_MEM_SLOT),
    *(UvCall.PAGE_IN, UvCall.PAGE_OUT, UvCall.PAGE_INVAL, UvCall.ESM, UvCall.RETURN),
    *(UvCall.SHARE_PAGE, UvCall.READ_MEM, UvCall.WRITE_MEM, UvCall.WRITE_SCOM),
)
WORDS: Final = st.sampled_from(
    [0, 1, 16, PAGE, KBASE, SHARED_AT, MEMORY, 0x4000_0000, 0x10005, 1 << 48, 1 << 63]
)
CALLS: Final = st.lists(
    st.tuples(st.sampled_from(HV_CALLS), st.lists(WORDS, max_size=5)), max_size=12
)


@given(CALLS)
def test_p24_nothing_that_the_hypervisor_asks_for_weakens_a_secure_vm(
    calls: list[tuple[UvCall, list[int]]],
) -> None:
    """All pages are as they were, or gone and blank; none is in normal memory."""
    world = secure()
    held = world.secure_bytes()
    for call, words in calls:
        world.hv(call, *([world.vm.lpid, *words] if len(words) < 5 else words))
    assert world.running.vm_secure
    assert left_in_normal_memory(world) == bytes(SHARED_AT)
    if world.svm.lost:
        assert world.blank
    else:
        assert world.secure_bytes() == held


def test_p24_the_hypervisor_still_manages_the_machine() -> None:
    """It gives memory, runs a second VM, ends the first; its calls are answered."""
    world = secure()
    first = world.vm.lpid
    assert world.hv(UvCall.REGISTER_MEM_SLOT, first, MEMORY, PAGE, 0, 1) == 0
    assert world.hv(UvCall.UNREGISTER_MEM_SLOT, first, 1) == 0
    world.place(Guest(bootargs=LINE))
    assert not entered(world.esm())
    assert world.hv(UvCall.SVM_TERMINATE, first) == UvStatus.SUCCESS
    assert world.blank


@pytest.mark.parametrize("file", ["only-integrity.bin", "good.bin"])
def test_p57_none_or_many_secrets(file: str) -> None:
    world, end = called(operand(file)())
    assert entered(end)
    many = file == "good.bin"
    for name, right in SECRETS.items():
        assert read(world, name) == (right if many else None)


def test_p57_none_is_readable_before_the_hmac_was_right() -> None:
    for file in ("mac-flip.bin", "ct-flip.bin", "pad-flip.bin"):
        world, end = called(operand(file)())
        assert refusal(end) == (16, "E_MAC")
        for name in SECRETS:
            assert read(world, name) is None
        assert CUSTOMER not in world.read(0, world.vm.size)


@pytest.mark.parametrize(
    ("floor", "verdict"),
    [(0, None), (3, None), (4, "E_ROLLBACK"), (0xFFFFFFFF, "E_ROLLBACK")],
)
def test_p61_the_floor_in_the_sealed_data_decides(
    floor: int, verdict: str | None
) -> None:
    """Security version 3: newer sealed data stops it, that kept from before opens."""
    data = SEALED_DATA[:32] + cell(floor) + cell(0)
    world, end = called(operand("good.bin", data)())
    if verdict is None:
        assert entered(end)
        return
    assert refusal(end) == (17, verdict)
    assert read(world, PASSPHRASE) is None


def test_p16_the_entry_of_rtas_is_the_text_that_is_measured() -> None:
    """Profile real does not look at it, as the published code."""
    assert entered(called(v2_guest(rtas_entry=cell(RTAS_AT)))[1])
    assert entered(called(v2_guest(rtas_entry=cell(RTAS_AT, 8)))[1])
    guest = v2_guest(rtas_entry=cell(KBASE))
    assert refused(guest) == (11, "rtas")
    assert entered(World("real").place(guest).esm())
