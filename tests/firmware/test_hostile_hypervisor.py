"""Hostile hypervisors: each does what its name says, at its own call, and nothing else.

Whether an ultravisor stands them is for its own tests; here is what they do to one that
only records.
"""

from __future__ import annotations

import pytest

from kvm_kit import Kvm, content
from pefstack.firmware.hypervisor.hostile import (
    BEHAVIOURS,
    HONEST,
    Outcome,
    behave,
)
from pefstack.firmware.hypervisor.kvm import HANDLERS
from pefstack.firmware.ultravisor.codes import PAGE_SIZE, HCall, HStatus, UvCall
from pefstack.hw.journal import Journal
from pefstack.hw.secure_memory import SECURE_BIT, HypervisorMemory

KERNEL, TREE, BUFFER = 2, 4, 6  # page numbers
COMM = (1, BUFFER << 16, 12, (BUFFER << 16) + 0x8000, 4096)
SCRIPT = (
    (HCall.SVM_INIT_START, ()),
    (HCall.SVM_PAGE_IN, (TREE << 16, 0, 16)),
    (HCall.SVM_PAGE_IN, (BUFFER << 16, 1, 16)),
    (HCall.SVM_PAGE_IN, (KERNEL << 16, 0, 16)),
    (HCall.SVM_TPM_COMM, COMM),
    (HCall.SVM_INIT_DONE, ()),
)
ABORTED = (*SCRIPT[:4], (HCall.SVM_INIT_ABORT, ()))


class Scene:
    """A start to its end, as a recording ultravisor sees it."""

    def __init__(self, name: str, script: tuple[tuple[HCall, tuple[int, ...]], ...]):
        self.kvm = Kvm()
        self.kvm.tpm.response = bytes(range(24))
        self.kvm.vm.cpu.gpr[4:6] = [KERNEL << 16, TREE << 16]
        behave(self.kvm.hypervisor, name)
        self.answers = [self.kvm.call(number, *args) for number, args in script]

    @property
    def seen(self) -> tuple[object, ...]:
        """All that an ultravisor could see of it."""
        pages = tuple(self.kvm.page(n) for n in range(8))
        return self.answers, self.kvm.gate.calls, self.kvm.tpm.commands, pages


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_each_differs_from_the_honest_one(name: str) -> None:
    scripts = (SCRIPT, ABORTED)
    assert any(Scene(name, each).seen != Scene(HONEST, each).seen for each in scripts)
    for script in scripts:
        assert "fault" not in Scene(name, script).kvm.kinds()


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_each_says_what_it_does_and_what_comes_of_it(name: str) -> None:
    behaviour = BEHAVIOURS[name]
    assert behaviour.what and behaviour.outcome in Outcome
    assert set(behaviour.handlers) < set(HANDLERS)
    assert all(HANDLERS[call] is not how for call, how in behaviour.handlers.items())


def test_no_two_do_the_same() -> None:
    seen = [repr((Scene(n, SCRIPT).seen, Scene(n, ABORTED).seen)) for n in BEHAVIOURS]
    assert len(set(seen)) == len(seen)


def test_honest_again() -> None:
    kvm = Kvm()
    behave(kvm.hypervisor, "start-refuses")
    assert kvm.call(HCall.SVM_INIT_START) == (HStatus.STATE,)
    behave(kvm.hypervisor, HONEST)
    assert kvm.call(HCall.SVM_INIT_START) == (HStatus.SUCCESS,)


def test_an_unknown_name() -> None:
    with pytest.raises(KeyError):
        behave(Kvm().hypervisor, "kind")


def test_a_fork_behaves_alike() -> None:
    kvm = Kvm()
    behave(kvm.hypervisor, "start-refuses")
    memory = HypervisorMemory(kvm.memory)
    other = kvm.hypervisor.fork(memory, kvm.tpm, Journal())
    assert other.hypercall(1, HCall.SVM_INIT_START) == (HStatus.STATE,)


def page_ins(name: str) -> list[tuple[int, ...]]:
    return Scene(name, SCRIPT[:4]).kvm.gate.made(UvCall.PAGE_IN)


@pytest.mark.parametrize(
    ("name", "lpid", "source", "gpa", "order"),
    [
        ("page-in-neighbour", 1, KERNEL + 1, KERNEL, 16),
        ("page-in-elsewhere", 1, KERNEL, KERNEL + 1, 16),
        ("page-in-other-partition", 2, KERNEL, KERNEL, 16),
        ("page-in-order", 1, KERNEL, KERNEL, 21),
    ],
)
def test_what_is_handed_over(
    name: str, lpid: int, source: int, gpa: int, order: int
) -> None:
    base = Kvm().vm.base
    words = (lpid, base + (source << 16), gpa << 16, 0, order)
    assert page_ins(name)[-1] == words


def test_sources_that_are_not_the_vms() -> None:
    assert page_ins("page-in-secure-source")[-1][1] & SECURE_BIT
    assert page_ins("page-in-outside-source")[-1][1] == Kvm().memory.size


def test_a_page_that_changes_after_the_measurement() -> None:
    scene = Scene("done-replaces-kernel", SCRIPT[:5])
    kvm = scene.kvm
    kvm.gate.calls.clear()
    sent = []

    def gate(*words: int) -> tuple[int, ...]:
        if words[0] == UvCall.PAGE_IN and words[3] == KERNEL << 16:
            sent.append(kvm.memory.read(words[2], PAGE_SIZE))
        return (0,)

    kvm.hypervisor.gate = gate
    assert kvm.call(HCall.SVM_INIT_DONE) == (HStatus.SUCCESS,)
    assert sent == [b"\xee" * PAGE_SIZE] != [content(KERNEL)]


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("tpm-too-long", (0, 4097)),
        ("tpm-huge", (0, (1 << 64) - 1)),
        ("tpm-negative", (0, -1)),
        ("tpm-short", (0, 9)),
        ("tpm-cut", (0, 23)),
        ("tpm-no-length", (0,)),
        ("tpm-lies", (0, 4096)),
        ("tpm-strange-status", (77, 24)),
    ],
)
def test_answers_about_the_tpm(name: str, answer: tuple[int, ...]) -> None:
    assert Scene(name, SCRIPT).answers[4] == answer


def test_an_abort_that_claims_success() -> None:
    scene = Scene("abort-claims-success", ABORTED)
    assert scene.answers[0] == (HStatus.STATE,)
    assert scene.answers[-1] == (HStatus.SUCCESS,)
    assert scene.kvm.gate.calls[-1] == (UvCall.SVM_TERMINATE, 1)
