"""UV_ESM, steps 19 to 22: the hypervisor is done, the VM is secure (esm.md 2.1)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from pefstack.firmware.ultravisor.codes import HCall
from pefstack.firmware.ultravisor.effects import Commit, Hypercall, WriteGuest
from pefstack.firmware.ultravisor.esm_lookup import tree_pages
from pefstack.firmware.ultravisor.esm_refusal import EsmError, EsmRefusal
from pefstack.firmware.ultravisor.esm_state import EsmState, Phase
from pefstack.images.fdt import Fdt
from pefstack.images.fdt_node import FdtNode

_R: Final = EsmRefusal


def _take_done(state: EsmState, answer: int) -> EsmState:
    if answer != 0:
        field = HCall.SVM_INIT_DONE.name
        raise EsmError(_R.INIT_DONE, field, 0, f"{answer}", "0")
    return state


def _check_cpu(state: EsmState) -> EsmState:
    boot_cpu = state.tree.boot_cpuid if state.tree else 0
    if boot_cpu >= state.caller.cpus:
        limit = f"below 0x{state.caller.cpus:x}"
        raise EsmError(_R.CPU, "boot_cpuid_phys", 28, f"0x{boot_cpu:x}", limit)
    return state


def _take_commit(state: EsmState, answer: int) -> EsmState:
    if answer != 1:
        right = "all that came into secure memory"
        raise EsmError(_R.PAGE_IN, "pages", 0, "some that were taken back", right)
    return state


def work_tree(state: EsmState) -> bytes:
    """The guest's tree with what was reserved in its reserve map."""
    tree = state.tree or Fdt(root=FdtNode())
    ours = ((each.start, each.size) for each in state.reserved.values())
    return replace(tree, reserve_map=(*tree.reserve_map, *ours)).to_bytes()


def _ask_tree(state: EsmState) -> WriteGuest:
    raw, address = work_tree(state), state.caller.fdt_address
    room = tree_pages(state).end - address
    if len(raw) > room:
        found, limit = f"0x{len(raw):x} bytes", f"at most 0x{room:x}"
        raise EsmError(_R.TREE_BACK, "tree", 0, found, limit)
    return WriteGuest(address, raw)


def _take_tree(state: EsmState, answer: int) -> EsmState:
    if answer != 1:
        raise EsmError(_R.TREE_BACK, "tree", 0, "not written", "its pages in memory")
    return state


PHASES: Final[dict[int, tuple[Phase, ...]]] = {
    19: (Phase(ask=lambda _: Hypercall(HCall.SVM_INIT_DONE), take=_take_done),),
    20: (Phase(settle=_check_cpu),),
    21: (Phase(ask=lambda _: Commit(), take=_take_commit),),
    22: (Phase(ask=_ask_tree, take=_take_tree),),
}
