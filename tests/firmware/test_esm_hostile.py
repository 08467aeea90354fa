"""A hypervisor that does what it likes while a VM becomes secure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from hashlib import sha512
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pefstack.firmware.hypervisor import svm_life
from pefstack.firmware.hypervisor.vm import PageOwner, VmState
from pefstack.firmware.ultravisor.codes import HCall, UvCall
from pefstack.firmware.ultravisor.guest_memory import read_own
from pefstack.hw.chip import MSR_HV, MSR_S
from pefstack.hw.cpu import MSR_LE, MSR_PR, MSR_SF
from pefstack.images.fdt import Fdt
from uv_guest_kit import (
    INITRD_AT,
    KBASE,
    LINE,
    MEMORY,
    OPERAND_AT,
    PAGE,
    RTAS_AT,
    RTAS_TEXT,
    SHARED_AT,
    TREE_AT,
    v2_guest,
    vector,
)
from uv_kit import World, entered, only, refusal, touching

KERNEL: Final = vector("in/vmlinux-a.bin")
INITRD: Final = vector("in/initrd-a.cpio")
PARTS: Final = {KBASE: KERNEL, INITRD_AT: INITRD, RTAS_AT: RTAS_TEXT}
EVIL: Final = b"\xee" * PAGE
Trick = Callable[[World, Callable[[], tuple[int, ...]], Any], Any]


def assert_goes_on_right(world: World) -> None:
    """At kbase, with the registers of the call (esm.md 2.1, step 23)."""
    cpu = world.vm.cpu
    assert cpu.msr == MSR_SF | MSR_LE | MSR_S
    assert (cpu.nia, cpu.gpr[3:6]) == (KBASE, [TREE_AT, KBASE, 0])


def assert_as_built(world: World) -> None:
    """What is in the secure pages of a VM that entered is what its owner made.

    A VM whose record or pages went after that ends at its first touch.
    """
    if world.vm.lpid not in world.uv.svms or world.svm.lost:
        world.running.guest = touching(KBASE)
        world.running.run()
        assert world.running.halted or world.vm.state is VmState.STOPPED
        assert world.blank
        return
    assert_goes_on_right(world)
    for at, part in PARTS.items():
        found = read_own(world.uv, world.svm, at, len(part))
        assert sha512(found).digest() == sha512(part).digest(), hex(at)
    head = read_own(world.uv, world.svm, TREE_AT, 8)
    size = int.from_bytes(head[4:], "big")
    tree = Fdt.from_bytes(read_own(world.uv, world.svm, TREE_AT, size))
    assert tree.node("/chosen").value("bootargs") == LINE


def tricked(trick: Trick, number: int, at: int = 0) -> World:
    """After a call during which one hypercall was answered by a trick."""
    world = World().place(v2_guest())
    count = 0

    def instead(honest: Any, _lpid: int, called: int, args: Any) -> Any:
        nonlocal count
        if called != number:
            return None
        count += 1
        return trick(world, honest, args) if count == at + 1 else None

    world.kvm.instead = instead
    world.esm()
    return world


def evil_page(world: World, gpa: int) -> int:
    """UV_PAGE_IN of other content for a guest page; the hypervisor's book has it."""
    source, gpa = world.vm.base - PAGE, gpa // PAGE * PAGE
    world.board.memory.write(source, EVIL)
    world.vm.pages[gpa // PAGE] = PageOwner.ULTRAVISOR
    return world.hv(UvCall.PAGE_IN, world.vm.lpid, source, gpa, 0, 16)


def slots_again(world: World, gpa: int | None = None) -> None:
    """Take the memory slot back and give it again, and another page into it."""
    lpid = world.vm.lpid
    world.hv(UvCall.UNREGISTER_MEM_SLOT, lpid, 0)
    world.hv(UvCall.REGISTER_MEM_SLOT, lpid, 0, MEMORY, 0, 0)
    world.vm.pages.clear()
    if gpa is not None:
        evil_page(world, gpa)


def answering(*words: int) -> Trick:
    """Does nothing and says this."""
    return lambda _world, _honest, _args: words


def saying(*words: int) -> Trick:
    """Does its work and says this."""

    def trick(_world: World, honest: Any, _args: Any) -> Any:
        honest()
        return words

    return trick


def doing(act: Callable[[World], object]) -> Trick:
    """Something else first, then its work."""

    def trick(world: World, honest: Any, _args: Any) -> Any:
        act(world)
        return honest()

    return trick


def terminate(world: World) -> None:
    world.hv(UvCall.SVM_TERMINATE, world.vm.lpid)


def abort(world: World) -> None:
    """Its own abort, that nobody asked for."""
    svm_life.init_abort(world.kvm, world.vm, ())


def half_a_slot(world: World, _honest: Any, _args: Any) -> Any:
    """The upper half of the memory is not given."""
    world.vm.state = VmState.STARTING
    words = (world.vm.lpid, 0, MEMORY // 2, 0, 0)
    return (world.hv(UvCall.REGISTER_MEM_SLOT, *words),)


def another_page(world: World, _honest: Any, args: Any) -> Any:
    """Pages in the neighbour of what it was asked for."""
    return (evil_page(world, args[0] + PAGE) and 0,)


def other_content(world: World, _honest: Any, args: Any) -> Any:
    return (evil_page(world, args[0]),)


def cut(by: int) -> Trick:
    """The TPM's answer loses its end."""

    def trick(_world: World, honest: Any, _args: Any) -> Any:
        status, size = honest()
        return status, size - by

    return trick


def bit(at: int) -> Trick:
    """One bit of the TPM's answer is another one."""

    def trick(world: World, honest: Any, args: Any) -> Any:
        status, size = honest()
        where = args[3] + (at if at >= 0 else size + at)
        byte = world.read(where, 1)[0]
        world.write(where, bytes((byte ^ 1,)))
        return status, size

    return trick


PAGE_COUNT: Final = 13  # hypercalls for pages in an honest call
TPM_COUNT: Final = 15
EVERYWHERE: Final[dict[str, Trick]] = {
    "nothing": answering(),
    "refused": answering(-4),
    "unknown": answering(1),
    "lowest": answering(1 << 63),
    "says no": saying(-75),
    "says nothing": saying(),
    "terminates": doing(terminate),
    "aborts": doing(abort),
}
AT_START: Final = {
    **{name: trick for name, trick in EVERYWHERE.items() if name != "aborts"},
    "without a slot": answering(0),
    "half a slot": half_a_slot,
    "twice": lambda _w, honest, _a: honest() and honest(),
}
AT_A_PAGE: Final = {
    **EVERYWHERE,
    "says done": answering(0),
    "another page": another_page,
    "takes the slot": doing(
        lambda world: world.hv(UvCall.UNREGISTER_MEM_SLOT, world.vm.lpid, 0)
    ),
}
AT_THE_TPM: Final = {
    **EVERYWHERE,
    "no length": saying(0),
    "empty": saying(0, 0),
    "negative": saying(0, -1),
    "negative as a register": saying(0, (1 << 64) - 1),
    "too long": saying(0, 4097),
    "half the memory": saying(0, 1 << 63),
    "old answer": answering(0, 100),
    "cut": cut(1),
    "nine bytes": saying(0, 9),
    "first bit": bit(0),
    "size": bit(5),
    "code": bit(9),
    "last bit": bit(-1),
}
AT_THE_END: Final = {
    **EVERYWHERE,
    "twice": lambda _w, honest, _a: honest() and honest(),
    "slots again": doing(slots_again),
    "kernel again": doing(lambda world: slots_again(world, KBASE)),
    "tree again": doing(lambda world: slots_again(world, TREE_AT)),
    "initrd again": doing(lambda world: slots_again(world, INITRD_AT)),
    "text again": doing(lambda world: slots_again(world, RTAS_AT)),
}


def assert_stays_out(world: World) -> None:
    assert world.running.end is not None
    assert not entered(world.running.end)
    assert not world.running.vm_secure
    assert world.blank
    assert not world.uv.calls
    assert "fault" not in [each.kind for each in world.board.journal]


def test_how_many_hypercalls_an_honest_call_makes() -> None:
    world = World().place(v2_guest())
    assert entered(world.esm())
    assert_as_built(world)
    seen = world.kvm.seen
    assert seen.count(HCall.SVM_PAGE_IN) == PAGE_COUNT
    assert seen.count(HCall.SVM_TPM_COMM) == TPM_COUNT + 1  # and it is closed
    assert seen[0] == HCall.SVM_INIT_START
    assert seen[-2:] == [HCall.SVM_INIT_DONE, HCall.SVM_TPM_COMM]


@pytest.mark.parametrize("trick", AT_START.values(), ids=AT_START)
def test_tricks_at_the_start(trick: Trick) -> None:
    assert_stays_out(tricked(trick, HCall.SVM_INIT_START))


@pytest.mark.parametrize("trick", AT_A_PAGE.values(), ids=AT_A_PAGE)
def test_tricks_at_every_page(trick: Trick) -> None:
    """What counts is the page alone: an answer is not believed, good or bad."""
    name = next(name for name, each in AT_A_PAGE.items() if each is trick)
    for at in range(PAGE_COUNT):
        world = tricked(trick, HCall.SVM_PAGE_IN, at)
        if name.startswith("says ") and entered(world.running.end):
            assert name != "says done"
            assert_as_built(world)
            continue
        assert_stays_out(world)


@pytest.mark.parametrize("trick", AT_THE_TPM.values(), ids=AT_THE_TPM)
def test_tricks_at_every_command_for_the_tpm(trick: Trick) -> None:
    """PolicyPCR's answer proves nothing and is needed for nothing; a flush, too."""
    for at in range(TPM_COUNT):
        world = tricked(trick, HCall.SVM_TPM_COMM, at)
        if entered(world.running.end):
            assert at + 1 in (5, 8, 11, 13, 14, 15)
            assert_as_built(world)
            continue
        assert_stays_out(world)


@pytest.mark.parametrize("trick", AT_THE_END.values(), ids=AT_THE_END)
def test_tricks_at_the_end(trick: Trick) -> None:
    assert_stays_out(tricked(trick, HCall.SVM_INIT_DONE))


@pytest.mark.parametrize("gpa", [KBASE, TREE_AT, INITRD_AT, OPERAND_AT])
def test_other_content_in_a_page_that_is_asked_for(gpa: int) -> None:
    def trick(world: World, honest: Any, args: Any) -> Any:
        return other_content(world, honest, args) if args[0] == gpa else honest()

    for at in range(PAGE_COUNT):
        world = tricked(trick, HCall.SVM_PAGE_IN, at)
        if not entered(world.running.end):
            assert_stays_out(world)
            return
    raise AssertionError("never asked for")


def test_a_call_within_a_call_and_one_after_the_abort() -> None:
    """Everything again after each trick: the machine is not worn out."""
    world = World().place(v2_guest())
    for number in (HCall.SVM_INIT_START, HCall.SVM_PAGE_IN, HCall.SVM_TPM_COMM):
        world.kvm.instead = only(number)
        assert not entered(world.esm())
        world.kvm.instead = None
        abort(world)
        terminate(world)
    assert entered(world.esm())
    assert_as_built(world)


def other_registers(world: World) -> None:
    """As if the VM had called from elsewhere."""
    cpu = world.vm.cpu
    cpu.gpr[:] = [0x123_0000] * len(cpu.gpr)
    cpu.nia = cpu.srr0 = 0x123_0000
    cpu.msr, cpu.srr1 = MSR_HV | MSR_PR, MSR_HV


def test_the_registers_of_the_call_are_the_ultravisors_while_it_goes_on() -> None:
    """What the hypervisor makes of them in any hypercall changes nothing."""
    world = World().place(v2_guest())
    world.kvm.instead = lambda *_: other_registers(world)
    assert entered(world.esm())
    assert_as_built(world)


ACTS: Final[tuple[Trick, ...]] = (
    doing(other_registers),
    *{**AT_START, **AT_A_PAGE, **AT_THE_TPM, **AT_THE_END}.values(),
    other_content,
    *(doing(partial(evil_page, gpa=at)) for at in (*PARTS, TREE_AT, OPERAND_AT)),
    *(doing(partial(World.write, gpa=at, data=EVIL)) for at in (*PARTS, TREE_AT)),
    doing(lambda w: w.write(SHARED_AT, EVIL)),
    doing(lambda w: w.board.tpm.execute(bytes.fromhex("80010000000c000001440000"))),
)


@given(st.lists(st.tuples(st.integers(0, 32), st.sampled_from(ACTS)), max_size=6))
def test_whatever_it_does_who_enters_is_as_built(plan: list[tuple[int, Trick]]) -> None:
    world = World().place(v2_guest())
    acts = dict(plan)

    def instead(honest: Any, _lpid: int, _number: int, args: Any) -> Any:
        trick = acts.pop(len(world.kvm.seen) - 1, None)
        if trick is None:
            return None

        def careful() -> tuple[int, ...]:
            found: tuple[int, ...] = honest()
            return (*found, *(0,) * (2 - len(found)))

        return trick(world, careful, (*args, *(0,) * (6 - len(args))))

    world.kvm.instead = instead
    if entered(world.esm()):
        assert_as_built(world)
    else:
        assert_stays_out(world)


@pytest.mark.parametrize("kbase", [0x210000, KBASE])
@pytest.mark.parametrize("spare", [0, 60, 64, 200])
def test_the_tree_does_not_grow_into_the_next_page(kbase: int, spare: int) -> None:
    """It is written once more after the measurement, with four reserve entries."""
    guest = v2_guest(initrd_at=0x210000) if kbase == KBASE else v2_guest()
    world = World().place(guest)
    world.write(kbase, KERNEL)
    raw = guest.tree()
    at = (0x210000 - len(raw) - spare) & ~7
    world.write(at, raw)
    end = world.esm(kbase, at)
    if 0x210000 - at - len(raw) < 64:
        assert refusal(end) == (22, "tree-back")
        assert world.blank
        return
    assert entered(end)
    first = KERNEL if kbase != KBASE else INITRD
    found = read_own(world.uv, world.svm, 0x210000, len(first))
    assert found == first


@pytest.mark.parametrize("name", ["chosen@1", "chosen@0"])
def test_no_other_command_line_for_who_finds_nodes_as_libfdt_does(name: str) -> None:
    """Linux takes the first node that is `chosen` but for a unit address."""
    guest = v2_guest()
    root = Fdt.from_bytes(guest.tree()).root
    chosen = next(each for each in root.children if each.name == "chosen")
    other = replace(chosen, name=name, properties=(("bootargs", b"evil\0"),))
    for children in ((other, *root.children), (*root.children, other)):
        world = World().place(guest)
        world.write(TREE_AT, Fdt(root=replace(root, children=children)).to_bytes())
        end = world.esm()
        assert entered(end) is (children[0] is not other)
        if not entered(end):
            assert refusal(end) == (12, "initrd")
