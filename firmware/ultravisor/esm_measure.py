"""UV_ESM, step 18: the guest in secure memory must be the one that was built.

Digest rules: esm.md 1.5. Everything is hashed where it lies in secure memory, after
the page came in; all parts are compared before the call fails.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from pefstack.firmware.ultravisor.effects import HashGuest
from pefstack.firmware.ultravisor.esm_lookup import check_apart, held
from pefstack.firmware.ultravisor.esm_refusal import EsmError, EsmRefusal
from pefstack.firmware.ultravisor.esm_state import EsmState, Extent, Phase, page_in
from pefstack.images.esm_digests import DIGEST_SIZE, command_line
from pefstack.images.esm_integrity import (
    COMMAND_LINE,
    INITRAMFS,
    KERNEL,
    RTAS,
    Measured,
)

# a part of the guest by the blob's name, and its number in an operand
NUMBERS: Final = {
    "rtas": RTAS,
    "kernel": KERNEL,
    "initrd": INITRAMFS,
    "bootargs": COMMAND_LINE,
}


def kernel_extent(state: EsmState) -> Extent:
    """The kernel at kbase, as long as blob or operand say."""
    size = 0
    if state.digests is not None:
        size = state.digests.kernel_size
    elif state.payload is not None:
        size = state.payload.integrity.parts[KERNEL].length
    return Extent(state.caller.kbase, size)


def extent_of(state: EsmState, part: str) -> Extent:
    """Where a part lies that is hashed in the guest's memory."""
    if part == "kernel":
        return state.kernel
    if part == "rtas":
        return Extent(state.rtas.start, state.rtas_text)
    start = state.initrd.start + state.archive_size
    return Extent(start, state.initrd.end - start)


def _check_kernel(state: EsmState) -> EsmState:
    where = kernel_extent(state)
    if not where.size or where.end > state.memory:
        found = f"0x{where.start:x} to 0x{where.end:x}"
        raise EsmError(EsmRefusal.KERNEL, "kernel", 0, found, "a range in memory")
    check_apart(state, EsmRefusal.KERNEL, "kernel", where)
    return replace(state, kernel=where)


def _measure(part: str) -> Phase:
    """Hash a part; its length in bytes counts with it."""

    def ask(state: EsmState) -> HashGuest:
        where = extent_of(state, part)
        return HashGuest(where.start, where.size)

    def take(state: EsmState, answer: bytes) -> EsmState:
        digest = held(answer, part, DIGEST_SIZE)
        return replace(state, measured={**state.measured, part: digest})

    return Phase(ask=ask, take=take)


def _compare(state: EsmState) -> EsmState:
    line = command_line(state.bootargs, state.caller.profile)
    digest = hashlib.sha512(line).digest()
    state = replace(state, measured={**state.measured, "bootargs": digest})
    if state.digests is not None:
        state.digests.check_guest(state.measured)
    elif state.payload is not None:
        state.payload.integrity.check_guest(_lengths(state, len(line)))
    else:
        raise EsmError(EsmRefusal.NO_OPERAND, "digests", 0, "none", "some")
    return state


def _lengths(state: EsmState, line_size: int) -> Mapping[int, Measured]:
    """Digests with their lengths, by the operand's numbers."""
    sizes = {part: extent_of(state, part).size for part in state.measured}
    sizes["bootargs"] = line_size
    return {
        NUMBERS[part]: Measured(length=sizes[part], digest=digest)
        for part, digest in state.measured.items()
    }


PHASES: Final[dict[int, tuple[Phase, ...]]] = {
    18: (
        Phase(settle=_check_kernel),
        page_in(lambda state: state.kernel.pages),
        _measure("rtas"),
        _measure("kernel"),
        _measure("initrd"),
        Phase(settle=_compare),
    ),
}
