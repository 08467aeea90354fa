"""GetCapability (Part 3, "Capability Commands")."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pefstack.hw.tpm.codes import (
    MAX_CAP_BUFFER,
    PCR_COUNT,
    PCR_SELECT_SIZE,
    TpmCap,
    TpmCc,
    TpmHt,
    TpmRh,
)
from pefstack.hw.tpm.command import Command, Parameter
from pefstack.hw.tpm.properties import (
    PCR_PROPERTIES,
    PT_FIXED,
    PT_GROUP,
    tpm_properties,
)
from pefstack.hw.tpm.response_codes import RC_1, RC_P, Refusal, TpmRc
from pefstack.hw.tpm.state import Internals
from pefstack.hw.tpm.structures import (
    UINT32,
    one_of,
    put_pcr_selections,
    put_raw,
    put_uint8,
    put_uint16,
    put_uint32,
)

TPMA_ALGORITHM_HASH: Final = 1 << 2
_LIST_SIZE: Final = MAX_CAP_BUFFER - 8  # without capability and count
_PROPERTY: Final = RC_P + 2 * RC_1  # the second parameter
_HANDLE_TYPES: Final = frozenset(TpmHt)
_CODE_MASK: Final = 0xFFFF  # of TPMA_CC: the command's number

Numbered = tuple[int, bytes]  # what a list is ordered by, and the item
Answer = tuple[int, bytes]  # moreData, and the list


def get_capability(
    inner: Internals, capability: int, property_: int, property_count: int
) -> tuple[int, int, bytes]:
    """moreData, capability, and the list from ``property_`` on."""
    more, items = _LISTS[capability](inner, property_, property_count)
    return more, capability, items


def _algorithms(inner: Internals, first: int, count: int) -> Answer:
    attributes = put_uint32(TPMA_ALGORITHM_HASH)
    algs = inner.settings.digest_sizes
    return _page([(alg, put_uint16(alg) + attributes) for alg in algs], first, count)


def _handles(inner: Internals, first: int, count: int) -> Answer:
    handle_type = first >> 24
    if handle_type not in _HANDLE_TYPES:
        raise Refusal(TpmRc.HANDLE + _PROPERTY)
    handles: list[int] = []  # no command of this TPM makes objects, indexes, sessions
    if handle_type == TpmHt.PCR:
        handles = list(range(PCR_COUNT))
    elif handle_type == TpmHt.PERMANENT:
        handles = sorted(TpmRh)
    return _page([(handle, put_uint32(handle)) for handle in handles], first, count)


def _commands(inner: Internals, first: int, count: int) -> Answer:
    attributes = inner.settings.command_attributes
    rows = [(each & _CODE_MASK, put_uint32(each)) for each in attributes]
    return _page(rows, first, count)


def _pcrs(inner: Internals, first: int, count: int) -> Answer:
    """The allocation; never cut, except that a count of 0 asks for nothing."""
    if first:
        raise Refusal(TpmRc.VALUE + _PROPERTY)
    allocated = inner.state.pcrs.allocated
    rows = list(allocated.items()) if count else []
    return int(not rows), put_pcr_selections(rows)


def _tpm_properties(inner: Internals, first: int, count: int) -> Answer:
    """One group at a time: an answer does not go on into the next group."""
    first = max(first, PT_FIXED)
    end = (first // PT_GROUP + 1) * PT_GROUP
    rows = [
        (tag, put_uint32(tag) + put_uint32(value))
        for tag, value in tpm_properties(inner).items()
        if tag < end
    ]
    return _page(rows, first, count)


def _pcr_properties(inner: Internals, first: int, count: int) -> Answer:
    size = put_uint8(PCR_SELECT_SIZE)
    rows = [
        (tag, put_uint32(tag) + size + mask.to_bytes(PCR_SELECT_SIZE, "little"))
        for tag, mask in sorted(PCR_PROPERTIES.items())
    ]
    return _page(rows, first, count)


def _nothing(inner: Internals, first: int, count: int) -> Answer:
    return _page([], first, count)


def _page(rows: list[Numbered], first: int, count: int) -> Answer:
    """At most ``count`` of the items numbered ``first`` or more, as many as fit."""
    wanted = [item for number, item in rows if number >= first]
    fitting = _LIST_SIZE // max(map(len, wanted), default=1)
    given = wanted[: min(count, fitting)]
    return int(len(given) < len(wanted)), put_uint32(len(given)) + b"".join(given)


_LISTS: Final[dict[int, Callable[[Internals, int, int], Answer]]] = {
    TpmCap.ALGS: _algorithms,
    TpmCap.HANDLES: _handles,
    TpmCap.COMMANDS: _commands,
    TpmCap.PP_COMMANDS: _nothing,
    TpmCap.AUDIT_COMMANDS: _nothing,
    TpmCap.PCRS: _pcrs,
    TpmCap.TPM_PROPERTIES: _tpm_properties,
    TpmCap.PCR_PROPERTIES: _pcr_properties,
    TpmCap.ECC_CURVES: _nothing,
    TpmCap.AUTH_POLICIES: _nothing,
}

GET_CAPABILITY: Final = Command(
    code=TpmCc.GET_CAPABILITY,
    action=get_capability,
    parameters=(
        Parameter(
            name="capability",
            unmarshal=one_of(UINT32, frozenset(map(int, TpmCap)), TpmRc.VALUE),
        ),
        Parameter(name="property", unmarshal=UINT32),
        Parameter(name="propertyCount", unmarshal=UINT32),
    ),
    results=(put_uint8, put_uint32, put_raw),
)
