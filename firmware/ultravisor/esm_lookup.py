"""What UV_ESM looks up in the guest's tree, and where parts of a guest may lie."""

from __future__ import annotations

from pefstack.firmware.ultravisor.codes import PAGE_SIZE
from pefstack.firmware.ultravisor.esm_refusal import EsmError, EsmRefusal
from pefstack.firmware.ultravisor.esm_state import EsmState, Extent
from pefstack.images.errors import FormatError
from pefstack.images.fdt import libfdt_find
from pefstack.images.fdt_node import FdtNode


def held(answer: bytes, what: str, size: int) -> bytes:
    """Bytes that were read; EsmError PAGE_IN when a page of them is not in."""
    if len(answer) != size:
        found, right = f"0x{len(answer):x} bytes", f"0x{size:x} in secure memory"
        raise EsmError(EsmRefusal.PAGE_IN, what, 0, found, right)
    return answer


def node(state: EsmState, path: str) -> FdtNode:
    """A node of the guest's tree; EsmError TREE when it is not there.

    Strictly by its whole name, and the one that Linux finds, too.
    """
    tree = state.tree
    found = None
    if tree is not None:
        found = libfdt_find(tree, path)
        if state.strict and found is not tree.find(path):
            found = None  # the guest would find another one than is measured
    if found is None:
        raise EsmError(EsmRefusal.TREE, f"node {path}", 0, "none", "one")
    return found


def number(state: EsmState, refusal: EsmRefusal, path: str, name: str) -> int:
    """A property of one cell or two; EsmError with this refusal for none."""
    try:
        return node(state, path).number(name)
    except FormatError as wrong:
        what = f"{path} {wrong.field}", wrong.offset, wrong.found, wrong.expected
        raise EsmError(refusal, *what) from None


def whole_pages(where: Extent) -> Extent:
    """All of the pages that a range touches."""
    return Extent(where.pages.start * PAGE_SIZE, len(where.pages) * PAGE_SIZE)


def tree_pages(state: EsmState) -> Extent:
    """All of the pages that have a byte of the guest's tree."""
    return whole_pages(Extent(state.caller.fdt_address, state.tree_size))


def check_apart(state: EsmState, refusal: EsmRefusal, what: str, where: Extent) -> None:
    """What is measured lies in no page that is reserved, shared for RTAS, or the
    tree's, which is written once more."""
    places = dict(state.reserved)
    places["device tree"] = tree_pages(state)
    if what != "RTAS area":
        places["RTAS area"] = whole_pages(state.rtas)
    mine = whole_pages(where)
    for name, extent in places.items():
        if mine.meets(extent):
            found = f"0x{where.start:x} to 0x{where.end:x}, in {name}"
            raise EsmError(refusal, what, where.start, found, "a place of its own")
