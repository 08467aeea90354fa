"""UV_ESM refuses: every reason at its step, and what is left afterwards: nothing."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

import pefstack.firmware.ultravisor as package
from esm_case_kit import Case, operand
from esm_kit import V2, blob_bytes
from esm_operand_cases import ACCEPTED, OPERANDS
from esm_refusals import CASES, TERMINATED
from pefstack.firmware.hypervisor.vm import VmState
from pefstack.firmware.ultravisor import esm, files
from pefstack.firmware.ultravisor.codes import UvCall
from pefstack.firmware.ultravisor.esm_refusal import EsmRefusal
from pefstack.firmware.ultravisor.svm import SvmState
from pefstack.images.esm_blob_refusal import BlobRefusal
from pefstack.images.esm_refusal import OperandRefusal
from uv_guest_kit import Guest, v2_guest, vector
from uv_kit import World, entered, refusal

ALL: Final[tuple[Case, ...]] = (*CASES, *TERMINATED, *OPERANDS)
# what never ends a call, and the test that shows why
UNREACHABLE: Final = {
    "E_MAGIC": "the search finds nothing else, and step 15 looks at the magic first",
    "B_NO_FILE": "said to the guest by UV_ESMB_GET_FILE alone",
    "B_FILE_NAME": "said to who makes a blob",
}


def of_steps(cases: Sequence[Case], first: int, last: int) -> pytest.MarkDecorator:
    """The cases of some steps."""
    chosen = [each for each in cases if first <= each.step <= last]
    return pytest.mark.parametrize("case", chosen, ids=[each.id for each in chosen])


@of_steps(CASES, 1, 8)
def test_the_call_its_record_and_the_start(case: Case) -> None:
    assert_refused(case)


@of_steps(CASES, 9, 10)
def test_the_tree_and_what_is_reserved(case: Case) -> None:
    assert_refused(case)


@of_steps(CASES, 11, 13)
def test_what_the_tree_names(case: Case) -> None:
    assert_refused(case)


@of_steps(CASES, 14, 15)
def test_where_blob_or_operand_is(case: Case) -> None:
    assert_refused(case)


def test_pages_that_are_gone_are_not_copied() -> None:
    """Taken back between the search and the copy."""
    (case,) = (each for each in CASES if (each.step, each.name) == (15, "page-in"))
    assert_refused(case)


@of_steps(CASES, 16, 17)
def test_what_the_tpm_and_the_keys_open(case: Case) -> None:
    assert_refused(case)


@of_steps(CASES, 18, 22)
def test_the_guest_and_the_end(case: Case) -> None:
    assert_refused(case)


@of_steps(TERMINATED, 1, 22)
def test_the_hypervisor_ends_the_vm(case: Case) -> None:
    assert_refused(case)


@of_steps(OPERANDS, 1, 15)
def test_operands_that_are_wrong_by_their_bytes(case: Case) -> None:
    assert_refused(case)


@of_steps(OPERANDS, 16, 22)
def test_operands_that_are_wrong_when_they_are_open(case: Case) -> None:
    assert_refused(case)


def assert_refused(case: Case) -> None:
    """With its step and reason, and nothing is left; a correct call then succeeds."""
    world = case.world()
    memory, pages = world.normal_bytes(), world.used_pages
    handles = world.handles()
    end = case.run(world)
    assert refusal(end) == (case.step, case.name), end
    assert isinstance(end, case.kind)
    if case.r3 is not None:
        assert world.r3 == case.r3
    assert world.uv.reasons[-1] == (world.vm.lpid, end.reason)
    assert_nothing_left(world, pages)
    assert world.handles() == handles
    if case.back:
        assert_back(world, memory)
    if case.again:
        assert entered(world.mended(v2_guest()).esm())


def assert_nothing_left(world: World, pages: int) -> None:
    """All secure pages are given back, and blank; no call goes on."""
    assert world.used_pages == pages
    assert world.blank
    assert not world.uv.calls
    assert all(each.state is SvmState.ABORT for each in world.uv.svms.values())
    assert not any(each.pages or each.own for each in world.uv.svms.values())


def assert_back(world: World, memory: bytes) -> None:
    """The VM is a normal one, with the memory that it had."""
    assert world.uv.svms == {}
    assert world.vm.state is VmState.NORMAL
    assert world.vm.pages == {}
    assert world.normal_bytes() == memory
    assert not world.vm.cpu.msr & 0x400000  # S


@pytest.mark.parametrize("file", ACCEPTED)
def test_operands_of_the_vectors_that_are_right(file: str) -> None:
    world = World().place(operand(file)())
    assert entered(world.esm())
    assert world.running.vm_secure


def test_every_operand_of_the_vectors_was_tried() -> None:
    assert len(V2["verdicts"]) == len(OPERANDS) + len(ACCEPTED) == 102


def test_every_reason_is_provoked_or_cannot_be() -> None:
    provoked = {each.name for each in ALL}
    names = {str(each) for each in (*EsmRefusal, *BlobRefusal, *OperandRefusal)}
    assert provoked | UNREACHABLE.keys() == names
    assert not provoked & UNREACHABLE.keys()


def named(module: str) -> set[str]:
    """The reasons of UV_ESM itself that a module's code names."""
    path = Path(str(package.__file__)).with_name(f"{module}.py")
    return {
        str(EsmRefusal[node.attr])
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in ("_R", "EsmRefusal")
    }


MODULES: Final = {
    "esm_start": range(1, 9),
    "esm_tree": range(9, 14),
    "esm_search": range(14, 16),
    "esm_open": range(16, 18),
    "esm_measure": range(18, 19),
    "esm_finish": range(19, 24),
}
# of each module: what its types ask for, and no call has ever been without
ASSERTED: Final = {"esm_open": {"no-operand"}, "esm_measure": {"no-operand"}}


@pytest.mark.parametrize("module", MODULES)
def test_every_reason_that_a_step_names_is_provoked_there(module: str) -> None:
    steps = MODULES[module]
    provoked = {each.name for each in ALL if each.step in steps}
    assert named(module) - ASSERTED.get(module, set()) <= provoked


def test_every_step_that_can_fail_does() -> None:
    assert list(esm.STEPS) == list(range(1, 23))
    tried = {each.step for each in (*CASES, *OPERANDS)}
    assert tried == set(esm.STEPS)
    assert {each.step for each in TERMINATED} >= {6, 16, 21, 22}


def test_what_a_type_asks_for_is_always_there() -> None:
    """`ASSERTED`: step 15 ends with a blob or an operand, never with both or none."""
    for guest in (v2_guest(), Guest(initrd=vector("esmb-initrd-a.img"))):
        world = World().load_key("tpm1").place(guest).begin().until(16)
        state = world.uv.calls[world.vm.lpid]
        assert (state.blob is None) is not (state.operand is None)


def test_another_magic_is_refused_before_the_operand_is_read() -> None:
    """So E_MAGIC is never the reason."""
    for magic in (b"ESMP", b"\0\0\0\0", b"OMSE"):
        world = World().place(Guest(operand=magic + bytes(60)))
        assert refusal(world.esm()) == (15, "operand-place")


def test_an_odd_name_of_an_attachment_stops_no_guest_and_no_file_is_minus_1() -> None:
    """So B_FILE_NAME and B_NO_FILE are never the reason."""
    world = World().load_key("tpm1").place(Guest(initrd=vector("esmb-initrd-a.img")))
    assert entered(world.esm())
    words = files.name_words("-no such file")
    assert world.sc2(UvCall.ESMB_GET_FILE, 0, *words)[0] == files.NOT_FOUND
    source = Path(str(package.__file__)).parent
    users = [
        each.name for each in source.glob("*.py") if "write_att" in each.read_text()
    ]
    assert users == []
    assert b"-no such file" not in blob_bytes("a")


def test_a_second_call_of_a_secure_vm_changes_nothing() -> None:
    world = World().place(v2_guest())
    assert entered(world.esm())
    pages, before = world.board.secure.used_pages, world.svm.fork()
    msr = world.vm.cpu.msr
    assert refusal(world.esm(msr=msr)) == (5, "record")
    assert world.r3 == -5
    assert (world.board.secure.used_pages, world.svm) == (pages, before)
    assert world.running.vm_secure


@pytest.mark.parametrize("step", [1, 6, 9, 16, 18, 19, 22])
def test_a_second_call_while_one_goes_on_changes_nothing(step: int) -> None:
    """U_RETRY (esm.md 3.2): the first goes on as if nothing had been."""
    world = World().place(v2_guest()).begin().until(step)
    cpu, state = world.vm.cpu.fork(), world.uv.calls[world.vm.lpid]
    world.begin()
    assert world.r3 == -5
    assert world.uv.calls[world.vm.lpid] is state
    world.vm.cpu = cpu
    assert entered(world.finish())


def test_an_aborted_vm_whose_record_stays_gets_no_second_try() -> None:
    """The hypervisor does not make UV_SVM_TERMINATE: U_RETRY until it does."""
    world = World().place(v2_guest(bootargs=b"other\0"))
    world.kvm.instead = lambda _h, _l, number, _a: (-4,) if number == 0xEF14 else None
    assert refusal(world.esm()) == (18, "E_DIGEST")
    assert world.svm.state is SvmState.ABORT
    assert world.blank
    assert refusal(world.esm()) == (5, "record")
    assert world.r3 == -5
    assert world.hv(UvCall.SVM_TERMINATE, world.vm.lpid) == 0
    assert world.uv.svms == {}
