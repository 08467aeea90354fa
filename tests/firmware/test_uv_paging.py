"""UV_PAGE_IN in its order of checks, shared pages, what an aborted VM answers."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final

import pytest

from pefstack.firmware.ultravisor.codes import HCall, UvCall, UvStatus
from pefstack.firmware.ultravisor.svm import PageState, Svm
from pefstack.hw.chip import MSR_S
from pefstack.hw.cpu import MSR_EE, MSR_LE, MSR_SF
from pefstack.hw.secure_memory import SECURE_BIT
from pefstack.images.fdt import Fdt
from uv_guest_kit import (
    INITRD_AT,
    KBASE,
    MEMORY,
    PAGE,
    RTAS_AT,
    SHARED_AT,
    TREE_AT,
    v2_guest,
    vector,
)
from uv_kit import World, entered, refusal
from uv_state_kit import aborted, secure, transition

FREE: Final = 0x500000  # a page of the guest that nothing is in
OTHER: Final = b"\xa5" * PAGE


def page_in(world: World, **others: int) -> int:
    """A page of the hypervisor's, the words as they should be but for some."""
    words = {
        "lpid": world.vm.lpid,
        "source": spare(world),
        "address": FREE,
        "flags": 0,
        "order": 16,
        **others,
    }
    return world.hv(UvCall.PAGE_IN, *words.values())


def spare(world: World) -> int:
    """The real address of a page of the hypervisor's own, with other content."""
    source = world.vm.base - PAGE
    world.board.memory.write(source, OTHER)
    return source


# each check with words that fail it, in their order (esm.md 3.4)
CHECKS: Final[tuple[tuple[str, int, int], ...]] = (
    ("order", 12, UvStatus.P5),
    ("source", 0, UvStatus.P2),
    ("lpid", 77, UvStatus.PARAMETER),
    ("address", MEMORY, UvStatus.P3),
)


@pytest.mark.parametrize("at", range(len(CHECKS)), ids=[each[0] for each in CHECKS])
def test_page_in_checks_in_their_order(at: int) -> None:
    """Everything from one check on is wrong: that check answers."""
    world = transition()
    wrong = {name: value for name, value, _ in CHECKS[at:]}
    before = world.svm.fork()
    assert page_in(world, **wrong) == CHECKS[at][2]
    assert world.svm == before


@pytest.mark.parametrize("order", [0, 12, 15, 17, 21, 24, 1 << 40])
def test_page_in_of_another_size(order: int) -> None:
    assert page_in(transition(), order=order) == UvStatus.P5


@pytest.mark.parametrize(
    "source",
    [0, SECURE_BIT, SECURE_BIT | PAGE, PAGE + 1, PAGE // 2, 1 << 40, (1 << 64) - PAGE],
)
def test_page_in_from_an_address_that_is_no_page_of_normal_memory(source: int) -> None:
    world = transition()
    before = world.svm.fork()
    assert page_in(world, source=source) == UvStatus.P2
    assert world.svm == before


def test_page_in_of_an_aborted_vm_comes_before_its_slots() -> None:
    world = aborted()
    assert page_in(world, address=MEMORY) == UvStatus.STATE
    assert page_in(world) == UvStatus.STATE
    assert page_in(world, order=12) == UvStatus.P5
    assert world.blank


def test_an_aborted_vm_gives_nothing_out() -> None:
    """UV_PAGE_OUT succeeds without writing the page (esm.md 2.2)."""
    world = aborted()
    lpid, target = world.vm.lpid, spare(world)
    assert world.hv(UvCall.PAGE_OUT, lpid, target, KBASE, 0, 16) == UvStatus.SUCCESS
    assert world.board.memory.read(target, PAGE) == OTHER
    assert world.hv(UvCall.PAGE_INVAL, lpid, KBASE, 16) == UvStatus.STATE


def test_page_in_when_secure_memory_is_full() -> None:
    world = transition()
    world.leave_free(0)
    assert page_in(world) == UvStatus.RETRY


def test_page_in_in_transition_copies_and_a_secure_vm_takes_no_page() -> None:
    world = transition()
    assert page_in(world) == UvStatus.SUCCESS
    assert world.board.secure.read(world.svm.pages[FREE >> 16].secure, PAGE) == OTHER
    for profile in ("strict", "real"):
        world = World(profile).place(v2_guest())
        assert entered(world.esm())
        before = world.secure_bytes()
        for address in (FREE, KBASE, INITRD_AT, RTAS_AT - PAGE):
            assert page_in(world, address=address) == UvStatus.P2
        assert world.secure_bytes() == before


@pytest.mark.parametrize("profile", ["real", "strict"])
def test_a_page_that_was_measured_is_replaced_in_profile_real_alone(
    profile: str,
) -> None:
    """The published code notes only what it asked for: a documented weakness."""
    world = transition(19, profile)
    kernel = vector("in/vmlinux-a.bin")
    secure_page = world.svm.pages[KBASE >> 16].secure
    assert world.board.secure.read(secure_page, len(kernel)) == kernel
    real = profile == "real"
    assert page_in(world, address=KBASE) == (UvStatus.SUCCESS if real else UvStatus.P2)
    assert (world.board.secure.read(secure_page, PAGE) == OTHER) is real
    assert entered(world.finish())
    assert (world.board.secure.read(secure_page, PAGE) == OTHER) is real


def test_a_page_that_is_replaced_before_it_is_measured_is_measured() -> None:
    world = transition(18, "real")
    assert page_in(world, address=INITRD_AT) == UvStatus.SUCCESS
    assert refusal(world.finish()) == (18, "E_DIGEST")


def shared(world: World, first: int, count: int) -> int:
    return world.sc2(UvCall.SHARE_PAGE, first >> 16, count)[0]


def normal(world: World, address: int) -> bytes:
    """What the hypervisor reads in the normal page of a guest page."""
    return world.kvm.memory.read(world.vm.real(address), PAGE)


def test_a_shared_page_is_blank_and_for_both() -> None:
    world = secure()
    page, used = world.svm.pages[KBASE >> 16].secure, world.used_pages
    world.write(KBASE, OTHER)
    assert shared(world, KBASE, 1) == UvStatus.SUCCESS
    assert world.svm.pages[KBASE >> 16].state is PageState.SHARED
    assert world.board.secure.read(page, PAGE) == bytes(PAGE)
    assert world.used_pages == used - 1
    assert normal(world, KBASE) == bytes(PAGE)
    assert shared(world, KBASE, 1) == UvStatus.SUCCESS  # once more: as it is
    assert normal(world, KBASE) == bytes(PAGE)


@pytest.mark.parametrize("refused", range(4))
@pytest.mark.parametrize("answer", [-4, 0], ids=["refused", "said to be done"])
def test_a_share_that_fails_half_way_is_rolled_back(refused: int, answer: int) -> None:
    """U_P2; every page is the VM's own again, with what was in it."""
    world, calls = secure(), []

    def instead(_honest: Any, _lpid: int, number: int, _args: Any) -> Any:
        calls.append(number)
        return (answer,) if len(calls) == refused + 1 else None

    world.kvm.instead = instead
    before, held = world.svm.fork(), world.secure_bytes()
    assert shared(world, INITRD_AT - PAGE, 4) == UvStatus.P2
    assert calls == [HCall.SVM_PAGE_IN] * (refused + 1)
    assert world.svm == before
    assert world.secure_bytes() == held


@pytest.mark.parametrize("gives_it_first", [False, True])
def test_a_share_whose_page_goes_meanwhile_is_rolled_back(
    gives_it_first: bool,
) -> None:
    """The hypervisor takes the slot back, having paged in or not: no share."""
    world = secure()

    def instead(_honest: Any, lpid: int, _number: int, args: Any) -> Any:
        if gives_it_first:
            source = world.vm.real(args[0])
            assert world.hv(UvCall.PAGE_IN, lpid, source, args[0], 0, 16) == 0
        world.hv(UvCall.UNREGISTER_MEM_SLOT, lpid, 0)
        return (0,)

    world.kvm.instead = instead
    assert shared(world, KBASE, 2) == UvStatus.P2
    assert world.blank


OUTSIDE: Final = {
    "over the end": (MEMORY - PAGE, 2),
    "behind the end": (MEMORY, 1),
    "all there is": (0, 1 << 60),
    "wraps": (((1 << 48) - 1) << 16, 2),
    "RTAS buffer": (MEMORY - PAGE, 1),
    "TPM buffer": (SHARED_AT, 1),
    "RTAS area": (RTAS_AT, 1),
    "up to RTAS": (RTAS_AT - PAGE, 2),
}


@pytest.mark.parametrize("words", OUTSIDE.values(), ids=OUTSIDE)
def test_pages_that_a_guest_cannot_share(words: tuple[int, int]) -> None:
    """What is shared for RTAS and TPM stays what it is; all of it before any is."""
    world = secure()
    world.kvm.seen.clear()
    before, held = world.svm.fork(), world.secure_bytes()
    assert shared(world, *words) == UvStatus.P2
    assert world.svm == before
    assert world.secure_bytes() == held
    assert world.kvm.seen == []


def test_what_is_shared_after_uv_esm() -> None:
    """Six pages for RTAS, one for the TPM; the RTAS area only seems to be."""
    world = secure()
    states = {gfn: page.state for gfn, page in world.svm.pages.items()}
    found = [gfn for gfn, state in states.items() if state is not PageState.SECURE]
    implicit = [SHARED_AT >> 16, *range((MEMORY >> 16) - 6, MEMORY >> 16)]
    assert sorted(found) == [RTAS_AT >> 16, *implicit]
    assert {states[gfn] for gfn in implicit} == {PageState.SHARED_IMPLICIT}
    assert states[RTAS_AT >> 16] is PageState.PSEUDO_SHARED


def test_a_pseudo_shared_page_is_the_guests_own() -> None:
    """The hypervisor's page is another one: what it writes there changes nothing."""
    world = secure()
    page = world.svm.pages[RTAS_AT >> 16]
    text = world.board.secure.read(page.secure, 20)
    world.write(RTAS_AT, b"\xff" * 20)
    assert page_in(world, address=RTAS_AT) == UvStatus.SUCCESS
    page = world.svm.pages[RTAS_AT >> 16]
    assert page.state is PageState.PSEUDO_SHARED
    assert world.board.secure.read(page.secure, 20) == text


def test_a_shared_page_is_mapped_anew() -> None:
    """UV_PAGE_IN of a shared page moves the normal page; no secure one is made."""
    world = secure()
    used = world.used_pages
    assert shared(world, FREE, 1) == UvStatus.SUCCESS
    assert page_in(world) == UvStatus.SUCCESS
    page = world.svm.pages[FREE >> 16]
    assert (page.state, page.secure) == (PageState.SHARED, 0)
    assert page.normal == world.vm.base - PAGE
    assert world.used_pages == used - 1


def test_pages_of_two_vms_are_two() -> None:
    """A second secure VM has pages of its own; its end leaves the first as it is."""
    world = secure()
    first, held = world.svm.fork(), world.used_pages
    world.place(v2_guest())
    assert entered(world.esm())
    pages = [set(page_addresses(svm)) for svm in world.uv.svms.values()]
    assert len(pages) == 2
    assert not set.intersection(*pages)
    assert world.hv(UvCall.SVM_TERMINATE, world.vm.lpid) == 0
    assert world.uv.svms == {first.lpid: first}
    assert world.used_pages == held


def page_addresses(svm: Svm) -> list[int]:
    found = [page.secure for page in svm.pages.values() if page.secure] + svm.own
    assert all(a != b for a, b in pairwise(sorted(found)))
    return found


def test_what_is_reserved_is_clear_of_the_reserve_map_the_tree_and_the_kernel() -> None:
    """From the top of the memory downwards, around what is taken (step 10)."""
    world = World().place(v2_guest(reserve=((MEMORY - PAGE, 1),))).begin().until(11)
    places = world.uv.calls[world.vm.lpid].reserved
    assert places["rtas-buffers"].end == MEMORY - PAGE
    assert [each.size // PAGE for each in places.values()] == [6, 2, 1, 1]
    size = (20 * PAGE).to_bytes(8, "big")
    low = v2_guest(reg=bytes(8) + size, rtas_at=2 * PAGE)
    world = World().place(low)
    at = 16 * PAGE
    world.write(at, low.tree())
    world.begin(tree=at).until(11)
    places = world.uv.calls[world.vm.lpid].reserved
    assert not any(each.start <= at < each.end for each in places.values())
    assert not any(each.start <= KBASE < each.end for each in places.values())


def test_the_guest_finds_what_was_reserved_in_its_tree() -> None:
    """The work copy goes back to where it was (step 22)."""
    world = secure()
    page = world.svm.pages[TREE_AT >> 16].secure
    raw = world.board.secure.read(page, PAGE)
    tree = Fdt.from_bytes(raw[: int.from_bytes(raw[4:8], "big")])
    assert sum(size for _, size in tree.reserve_map) == 10 * PAGE
    assert min(start for start, _ in tree.reserve_map) == MEMORY - 10 * PAGE


def test_a_secure_vm_goes_on_at_kbase_with_these_registers() -> None:
    """MSR S = 1, HV = EE = PR = 0; r3 the tree, r4 kbase, r5 0 (step 23)."""
    world = World().place(v2_guest())
    world.esm(msr=MSR_SF | MSR_LE | MSR_EE)
    cpu = world.vm.cpu
    assert cpu.msr == MSR_SF | MSR_LE | MSR_S
    assert (cpu.nia, cpu.gpr[3:6]) == (KBASE, [TREE_AT, KBASE, 0])


def test_a_page_that_was_taken_back_stays_away() -> None:
    """In a slot that is registered once more it does not come in again: U_P3."""
    world = transition(18)
    lpid = world.vm.lpid
    world.hv(UvCall.UNREGISTER_MEM_SLOT, lpid, 0)
    assert world.hv(UvCall.REGISTER_MEM_SLOT, lpid, 0, MEMORY, 0, 0) == 0
    assert page_in(world, address=INITRD_AT) == UvStatus.P3
    assert page_in(world, address=FREE) == UvStatus.SUCCESS
    assert refusal(world.finish()) == (18, "page-in")
