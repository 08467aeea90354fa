"""UV_ESM can be forked at every question: both ends are equal, and apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from esm_case_kit import terminating, unregistering, v1
from esm_refusals import CASES
from pefstack.firmware.ultravisor import esm, esm_call
from pefstack.firmware.ultravisor.codes import UvCall
from pefstack.hw.secure_memory import SECURE_BIT
from uv_guest_kit import INITRD_AT, KBASE, PAGE, Guest, v2_guest
from uv_kit import World, entered, refusal

KEPT: Final = ("svms", "pates", "sprs", "reasons", "calls")


def strict() -> World:
    return World().place(v2_guest())


def blob() -> World:
    return World().load_key("tpm1").place(v1("esmb-initrd-a.img")())


def other_guest() -> World:
    return World().place(v2_guest(bootargs=b"other\0"))


def no_cpu() -> World:
    return World().place(v2_guest(boot_cpu=1))


WORLDS: Final = (strict, blob, other_guest, no_cpu)


def outcome(world: World) -> dict[str, Any]:
    """All that the end of a call leaves."""
    cpu = world.vm.cpu
    return {
        "end": world.running.end,
        "registers": (cpu.msr, cpu.nia, list(cpu.gpr), cpu.srr0, cpu.srr1),
        "secure": world.secure_bytes(),
        "normal": world.read(0, world.vm.size),
        "vm": (world.vm.state, dict(world.vm.pages)),
        "journal": [(each.kind, each.detail) for each in world.board.journal],
        "tpm": world.handles(),
        **{name: getattr(world.uv, name) for name in KEPT},
    }


def questions(world: World) -> Iterator[int]:
    """The step of each question, before it is answered."""
    calls, lpid = world.uv.calls, world.vm.lpid
    while lpid in calls:
        yield calls[lpid].step
        world.running.step()


@pytest.mark.parametrize("made", WORLDS)
def test_forked_at_every_question(made: Callable[[], World]) -> None:
    """A fork that runs to its end is as the call in one go; so is the original."""
    whole = made()
    whole.esm()
    right = outcome(whole)
    world, forks = made().begin(), []
    for step in questions(world):
        forks.append((step, world.fork()))
        if len(forks) % 3 == 0:  # to its end while the original waits
            forks[-1][1].finish()
    assert outcome(world) == right
    for step, fork in forks:
        fork.finish()
        assert outcome(fork) == right, step
    asked = {step for step, _ in forks}
    assert asked >= {1, 6, 7, 8, 9, 10, 11, 12, 14, 15, 16, 18}


def test_the_call_in_one_go_is_the_same() -> None:
    right, world = strict(), strict()
    right.esm()
    lpid = world.vm.lpid
    end = esm_call.run(world.begin().uv, lpid)
    assert end == right.running.end
    assert world.secure_bytes() == right.secure_bytes()
    assert world.uv.svms == right.uv.svms


def test_asking_again_changes_nothing() -> None:
    world = strict().begin()
    for _ in questions(world):
        state = world.uv.calls[world.vm.lpid]
        again, question = esm.advance(state)
        assert esm.advance(again) == (again, question)
        assert "secret=" not in repr(again)


def test_a_fork_has_pages_and_a_tpm_of_its_own() -> None:
    """What happens to it does not reach the original."""
    world = strict().begin().until(16)
    fork = world.fork()
    fork.hv(UvCall.SVM_TERMINATE, fork.vm.lpid)
    fork.board.tpm.power_off()
    fork.write(KBASE, b"\xff" * PAGE)
    assert not entered(fork.finish())
    assert entered(world.finish())
    assert fork.uv.svms == {}


@pytest.mark.parametrize("meddle", [terminating, unregistering])
@pytest.mark.parametrize("made", [strict, blob])
def test_who_loses_its_pages_between_two_questions_never_enters(
    made: Callable[[], World], meddle: Callable[[World], None]
) -> None:
    world = made().begin()
    for step in questions(world):
        if not world.uv.svms or not world.svm.slots:
            continue
        fork = world.fork()
        meddle(fork)
        assert not entered(fork.finish()), step
        assert fork.blank
        assert not fork.uv.calls


@pytest.mark.parametrize("address", [KBASE, INITRD_AT])
def test_other_pages_between_two_questions_are_measured_or_not_taken(
    address: int,
) -> None:
    """Whenever it comes: the VM is refused, or has the page as it was built."""
    world, ends = strict().begin(), set()
    for _ in questions(world):
        if not world.uv.svms or not world.svm.slots:
            continue
        fork = world.fork()
        source = fork.vm.base - PAGE
        fork.board.memory.write(source, b"\xee" * PAGE)
        words = (fork.vm.lpid, source, address, 0, 16)
        taken = fork.hv(UvCall.PAGE_IN, *words) == 0
        assert entered(fork.finish()) is not taken
        ends.add(taken)
    assert ends == {False, True}


def test_the_guests_own_memory_is_not_read_again() -> None:
    """After a page came in the normal copy may be anything (esm.md 2.1, step 18)."""
    world = strict().begin()
    for step in questions(world):
        fork = world.fork()
        there = fork.uv.svms and [
            gfn for gfn, page in fork.svm.pages.items() if page.secure
        ]
        for gfn in there or ():
            fork.write(gfn * PAGE, b"\xee" * PAGE)
        assert entered(fork.finish()), step


def test_nothing_of_a_call_outlives_it() -> None:
    """Not even in the pages that the ultravisor has for itself."""
    world = strict()
    assert entered(world.esm())
    for page in world.svm.own:
        assert page & SECURE_BIT
        assert world.board.secure.read(page, PAGE) == bytes(PAGE)
    assert world.uv.calls == {}


def test_every_refusal_after_a_fork_is_the_same() -> None:
    """The cases that meddle at a step, in a fork that was made just before it."""
    for case in CASES:
        if not case.at or case.meanwhile is None or case.step < 9:
            continue
        world = case.world().begin(case.kbase, case.tree, case.msr).until(case.at)
        fork = world.fork()
        case.meanwhile(fork)
        end = fork.finish()
        assert refusal(end) == (case.step, case.name)
        assert entered(world.finish())


def test_a_vm_that_calls_with_nothing_in_its_memory() -> None:
    guest = Guest(initrd=None, bootargs=None, kernel=b"", rtas=b"")
    world = World().place(guest)
    assert not entered(world.esm())
    assert world.blank
