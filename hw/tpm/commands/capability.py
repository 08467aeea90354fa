"""GetCapability (Part 3, "Capability Commands")."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from pefstack.hw.tpm.algorithm_attributes import ALGORITHM_ATTRIBUTES
from pefstack.hw.tpm.codes import (
    MAX_CAP_BUFFER,
    PCR_COUNT,
    PCR_SELECT_SIZE,
    TpmCap,
    TpmCc,
    TpmEcc,
    TpmHt,
    TpmRh,
)
from pefstack.hw.tpm.command import Command, Parameter
from pefstack.hw.tpm.commands.platform_presence import NEED_PRESENCE
from pefstack.hw.tpm.commands.table import command_attributes
from pefstack.hw.tpm.hierarchies import Hierarchy
from pefstack.hw.tpm.present_properties import present_properties
from pefstack.hw.tpm.properties import (
    PCR_PROPERTIES,
    PT_FIXED,
    PT_GROUP,
    fixed_properties,
)
from pefstack.hw.tpm.response_codes import RC_1, RC_P, Refusal, TpmRc
from pefstack.hw.tpm.state import Internals
from pefstack.hw.tpm.structures import (
    UINT32,
    TaggedDigest,
    one_of,
    put_pcr_selections,
    put_raw,
    put_tagged_digest,
    put_uint8,
    put_uint16,
    put_uint32,
)

_LIST_SIZE: Final = MAX_CAP_BUFFER - 8  # without capability and count
_PROPERTY: Final = RC_P + 2 * RC_1  # the second parameter
VENDOR_PROPERTY: Final = 0x100  # TPM_CAP; there is none
FIRST_ACT: Final = 0x4000_0110  # TPM_RH_ACT_0
LAST_ACT: Final = 0x4000_011F
_NUMBER: Final = 0xFFFFFF  # of a session's handle
_CODE_MASK: Final = 0xFFFF  # of TPMA_CC: the command's number

Numbered = tuple[int, bytes]  # what a list is ordered by, and the item
Answer = tuple[int, bytes]  # moreData, and the list


def get_capability(
    inner: Internals, capability: int, property_: int, property_count: int
) -> tuple[int, int, bytes]:
    """moreData, capability, and the list from ``property_`` on."""
    if capability == VENDOR_PROPERTY:
        raise Refusal(TpmRc.VALUE + RC_P + RC_1)
    more, items = _LISTS[capability](inner, property_, property_count)
    return more, capability, items


def _algorithms(inner: Internals, first: int, count: int) -> Answer:
    rows = [
        (alg, put_uint16(alg) + put_uint32(attributes))
        for alg, attributes in sorted(ALGORITHM_ATTRIBUTES.items())
    ]
    return _page(rows, first, count)


def _handles(inner: Internals, first: int, count: int) -> Answer:
    """Sessions are numbered without their type: one list holds both."""
    listed = _HANDLES.get(first >> 24)
    if listed is None:
        raise Refusal(TpmRc.HANDLE + _PROPERTY)
    rows = [(handle, put_uint32(handle)) for handle in listed(inner)]
    if first >> 24 in (TpmHt.HMAC_SESSION, TpmHt.POLICY_SESSION):
        rows = sorted((handle & _NUMBER, item) for handle, item in rows)
        first &= _NUMBER
    return _page(rows, first, count)


def _commands(inner: Internals, first: int, count: int) -> Answer:
    attributes = command_attributes()
    rows = [(each & _CODE_MASK, put_uint32(each)) for each in attributes]
    return _page(rows, first, count)


def _pcrs(inner: Internals, first: int, count: int) -> Answer:
    """The allocation; never cut, except that a count of 0 asks for nothing."""
    if first:
        raise Refusal(TpmRc.VALUE + _PROPERTY)
    allocated = inner.state.pcrs.allocated
    rows = list(allocated.items()) if count else []
    return int(not rows), put_pcr_selections(rows)


def _presence_commands(inner: Internals, first: int, count: int) -> Answer:
    return _page([(code, put_uint32(code)) for code in NEED_PRESENCE], first, count)


def _audit_commands(inner: Internals, first: int, count: int) -> Answer:
    codes = sorted(inner.state.command_audit.codes)
    return _page([(code, put_uint32(code)) for code in codes], first, count)


def _curves(inner: Internals, first: int, count: int) -> Answer:
    return _page([(curve, put_uint16(curve)) for curve in TpmEcc], first, count)


def _auth_policies(inner: Internals, first: int, count: int) -> Answer:
    """TPMS_TAGGED_POLICY of each permanent handle that can have a policy."""
    if first >> 24 != TpmHt.PERMANENT:
        raise Refusal(TpmRc.VALUE + _PROPERTY)
    rows = [
        (each.handle, put_uint32(each.handle) + put_tagged_digest(_policy(each)))
        for each in inner.state.hierarchies
        if each.handle != TpmRh.NULL
    ]
    return _page(sorted(rows), first, count)


def _timers(inner: Internals, first: int, count: int) -> Answer:
    """Authenticated countdown timers: there is none."""
    if not FIRST_ACT <= first <= LAST_ACT:
        raise Refusal(TpmRc.VALUE + _PROPERTY)
    return _page([], first, count)


def _policy(hierarchy: Hierarchy) -> TaggedDigest:
    return hierarchy.policy_alg, hierarchy.auth_policy


def _tpm_properties(inner: Internals, first: int, count: int) -> Answer:
    """One group at a time: an answer does not go on into the next group."""
    first = max(first, PT_FIXED)
    rows = [
        (tag, put_uint32(tag) + put_uint32(value))
        for tag, value in _properties(inner, first).items()
    ]
    return _page(rows, first, count)


def _pcr_properties(inner: Internals, first: int, count: int) -> Answer:
    size = put_uint8(PCR_SELECT_SIZE)
    rows = [
        (tag, put_uint32(tag) + size + mask.to_bytes(PCR_SELECT_SIZE, "little"))
        for tag, mask in sorted(PCR_PROPERTIES.items())
    ]
    return _page(rows, first, count)


def _properties(inner: Internals, first: int) -> dict[int, int]:
    in_fixed = first < PT_FIXED + PT_GROUP
    return fixed_properties(inner) if in_fixed else present_properties(inner)


def _page(rows: list[Numbered], first: int, count: int) -> Answer:
    """At most ``count`` of the items numbered ``first`` or more, as many as fit."""
    wanted = [item for number, item in rows if number >= first]
    fitting = _LIST_SIZE // max(map(len, wanted), default=1)
    given = wanted[: min(count, fitting)]
    return int(len(given) < len(wanted)), put_uint32(len(given)) + b"".join(given)


_HANDLES: Final[dict[int, Callable[[Internals], Iterable[int]]]] = {
    TpmHt.PCR: lambda inner: range(PCR_COUNT),
    TpmHt.NV_INDEX: lambda inner: sorted(inner.state.nv.by_handle),
    TpmHt.HMAC_SESSION: lambda inner: inner.state.sessions.handles(saved=False),
    TpmHt.POLICY_SESSION: lambda inner: inner.state.sessions.handles(saved=True),
    TpmHt.PERMANENT: lambda inner: sorted(TpmRh),
    TpmHt.TRANSIENT: lambda inner: sorted(inner.state.objects.transient),
    TpmHt.PERSISTENT: lambda inner: sorted(inner.state.objects.persistent),
}
_LISTS: Final[dict[int, Callable[[Internals, int, int], Answer]]] = {
    TpmCap.ALGS: _algorithms,
    TpmCap.HANDLES: _handles,
    TpmCap.COMMANDS: _commands,
    TpmCap.PP_COMMANDS: _presence_commands,
    TpmCap.AUDIT_COMMANDS: _audit_commands,
    TpmCap.PCRS: _pcrs,
    TpmCap.TPM_PROPERTIES: _tpm_properties,
    TpmCap.PCR_PROPERTIES: _pcr_properties,
    TpmCap.ECC_CURVES: _curves,
    TpmCap.AUTH_POLICIES: _auth_policies,
    TpmCap.ACT: _timers,
}

GET_CAPABILITY: Final = Command(
    code=TpmCc.GET_CAPABILITY,
    action=get_capability,
    parameters=(
        Parameter(
            name="capability",
            unmarshal=one_of(
                UINT32, frozenset((*map(int, TpmCap), VENDOR_PROPERTY)), TpmRc.VALUE
            ),
        ),
        Parameter(name="property", unmarshal=UINT32),
        Parameter(name="propertyCount", unmarshal=UINT32),
    ),
    results=(put_uint8, put_uint32, put_raw),
)
COMMANDS: Final = (GET_CAPABILITY,)
