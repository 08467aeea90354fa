"""UV_ESM, steps 9 to 13: the device tree and what it names (esm.md 2.1).

Everything here was written by the hypervisor, or could have been: each number is
bounded before it is used, and all of it lies in secure memory when it is read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeVar

from pefstack.firmware.ultravisor.codes import PAGE_SHIFT, PAGE_SIZE
from pefstack.firmware.ultravisor.effects import ReadGuest, ShareKind, SharePages
from pefstack.firmware.ultravisor.esm_lookup import check_apart, held, node, number
from pefstack.firmware.ultravisor.esm_refusal import EsmError, EsmRefusal
from pefstack.firmware.ultravisor.esm_state import (
    EsmState,
    Extent,
    Phase,
    page_in,
)
from pefstack.firmware.ultravisor.reserve import reserved
from pefstack.firmware.ultravisor.svm import gfns, round_up
from pefstack.images.errors import FormatError
from pefstack.images.fdt import Fdt
from pefstack.images.fdt_header import HEADER_SIZE, FdtHeader

MAX_RMO: Final = 768 << 20
MAX_TREES: Final = 2 << 20  # two copies of the tree, in whole pages
RTAS_TEXT_SIZE: Final = 20  # where no property says it (VOF)
MAX_RTAS_SIZE: Final = 1 << 20
RTAS_BUFFERS, TPM_BUFFERS = "rtas-buffers", "tpm-buffers"
# what is taken from the guest's memory, in pages, in this order (project decision)
RESERVED: Final = {RTAS_BUFFERS: 6, TPM_BUFFERS: 2, "key-digest": 1, "files": 1}
_R: Final = EsmRefusal
T = TypeVar("T")


def _parsed(parse: Callable[[], T]) -> T:
    """A tree that does not parse is refused as such."""
    try:
        return parse()
    except EsmError:
        raise
    except FormatError as wrong:
        what = wrong.field, wrong.offset, wrong.found, wrong.expected
        raise EsmError(_R.TREE, *what) from None


def _take_header(state: EsmState, answer: bytes) -> EsmState:
    raw = held(answer, "header of the tree", HEADER_SIZE)
    size = _parsed(lambda: FdtHeader.from_prefix(raw)[0]).totalsize
    if 2 * round_up(size) > MAX_TREES:
        limit = f"at most 0x{MAX_TREES // 2:x}"
        raise EsmError(_R.TREE_SIZE, "totalsize", 4, f"0x{size:x}", limit)
    return replace(state, tree_size=size)


def _take_tree(state: EsmState, answer: bytes) -> EsmState:
    """The work copy: the guest's memory is not read for it again."""
    raw = held(answer, "tree", state.tree_size)
    return replace(
        state, tree=_parsed(lambda: Fdt.from_bytes(raw, unique=state.strict))
    )


def _with_memory(state: EsmState) -> EsmState:
    try:
        base, size, *_ = node(state, "/memory@0").cells("reg", 8)
    except (FormatError, ValueError):
        found = "none of two numbers of 8 bytes"
        raise EsmError(_R.MEMORY, "/memory@0 reg", 0, found, "base, size") from None
    if base or size < PAGE_SIZE:
        found = f"0x{base:x}, 0x{size:x}"
        raise EsmError(_R.MEMORY, "/memory@0 reg", 0, found, "0x0, a page at least")
    return replace(state, memory=size)


def _with_reserved(state: EsmState) -> EsmState:
    """Room that is free of the reserve map, the tree, and where the kernel begins."""
    tree_map = state.tree.reserve_map if state.tree else ()
    taken = [Extent(start, size) for start, size in tree_map]
    taken.append(Extent(state.caller.fdt_address, round_up(state.tree_size)))
    taken.append(Extent(state.caller.kbase, PAGE_SIZE))
    places = reserved(min(MAX_RMO, state.memory), taken, RESERVED)
    return replace(state, reserved=places)


def _share(name: str, count: int) -> Phase:
    """Share the first pages of what is reserved under a name."""

    def ask(state: EsmState) -> SharePages:
        first = state.reserved[name].start >> PAGE_SHIFT
        return SharePages(first, count, ShareKind.IMPLICIT)

    def take(state: EsmState, answer: int) -> EsmState:
        return _shared(state, answer, name)

    return Phase(ask=ask, take=take)


def _shared(state: EsmState, answer: int, what: str) -> EsmState:
    if answer != 1:
        raise EsmError(_R.SHARE, what, 0, "not shared", "shared by the hypervisor")
    return state


def _with_rtas(state: EsmState) -> EsmState:
    """The RTAS area, and how much of it is text."""
    base = number(state, _R.RTAS, "/rtas", "linux,rtas-base")
    size = number(state, _R.RTAS, "/rtas", "rtas-size")
    text = RTAS_TEXT_SIZE
    if node(state, "/rtas").get("slof,rtas-size") is not None:
        text = number(state, _R.RTAS, "/rtas", "slof,rtas-size")
    area = Extent(base, size)
    if not 0 < text <= size <= MAX_RTAS_SIZE or area.end > state.memory:
        found = f"0x{text:x} of 0x{size:x} bytes at 0x{base:x}"
        raise EsmError(_R.RTAS, "/rtas", 0, found, "text, in an area, in memory")
    check_apart(state, _R.RTAS, "RTAS area", area)
    _check_entry(state, base)
    return replace(state, rtas=area, rtas_text=text)


def _check_entry(state: EsmState, base: int) -> None:
    """Strictly a guest calls what is measured: its kernel jumps where this says."""
    name = "linux,rtas-entry"
    if not state.strict or node(state, "/rtas").get(name) is None:
        return
    entry = number(state, _R.RTAS, "/rtas", name)
    if entry != base:
        right = f"0x{base:x}, where the text begins"
        raise EsmError(_R.RTAS, f"/rtas {name}", 0, f"0x{entry:x}", right)


def _ask_pseudo(state: EsmState) -> SharePages:
    pages = state.rtas.pages
    return SharePages(pages.start, len(pages), ShareKind.PSEUDO)


def _take_pseudo(state: EsmState, answer: int) -> EsmState:
    return _shared(state, answer, "RTAS area")


def _with_initrd(state: EsmState) -> EsmState:
    """The initramfs with its operand, as the tree names it."""
    start = number(state, _R.INITRD, "/chosen", "linux,initrd-start")
    end = number(state, _R.INITRD, "/chosen", "linux,initrd-end")
    if not start < end <= state.memory:
        found = f"0x{start:x} to 0x{end:x}"
        raise EsmError(_R.INITRD, "initrd", 0, found, "a range in memory")
    where = Extent(start, end - start)
    check_apart(state, _R.INITRD, "initrd", where)
    return replace(state, initrd=where)


def _with_bootargs(state: EsmState) -> EsmState:
    found = node(state, "/chosen").get("bootargs")
    if found is None:
        raise EsmError(_R.BOOTARGS, "/chosen bootargs", 0, "none", "a property")
    return replace(state, bootargs=found)


def _fdt_pages(state: EsmState) -> range:
    return gfns(state.caller.fdt_address, state.tree_size)


def _header_pages(state: EsmState) -> range:
    return gfns(state.caller.fdt_address, HEADER_SIZE)


def _ask_header(state: EsmState) -> ReadGuest:
    return ReadGuest(state.caller.fdt_address, HEADER_SIZE)


def _ask_tree(state: EsmState) -> ReadGuest:
    return ReadGuest(state.caller.fdt_address, state.tree_size)


PHASES: Final[dict[int, tuple[Phase, ...]]] = {
    9: (
        page_in(_header_pages),
        Phase(ask=_ask_header, take=_take_header),
        page_in(_fdt_pages),
        Phase(ask=_ask_tree, take=_take_tree, settle=_with_memory),
    ),
    10: (
        Phase(settle=_with_reserved),
        _share(RTAS_BUFFERS, RESERVED[RTAS_BUFFERS]),
        _share(TPM_BUFFERS, 1),
    ),
    11: (
        Phase(settle=_with_rtas),
        page_in(lambda state: state.rtas.pages),
        Phase(ask=_ask_pseudo, take=_take_pseudo),
    ),
    12: (Phase(settle=_with_initrd), page_in(lambda state: state.initrd.pages)),
    13: (Phase(settle=_with_bootargs),),
}
