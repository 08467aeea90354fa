"""TPMI_DH, TPMI_RH, TPMI_SH: which handles a command takes (Part 2, "Interface Types").

Each is a predicate of the number of transient slots and the handle; whether the handle
stands for something is asked later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pefstack.hw.tpm.codes import (
    HMAC_FIRST,
    MAX_ACTIVE_SESSIONS,
    PCR_COUNT,
    POLICY_FIRST,
    TpmRh,
)
from pefstack.hw.tpm.objects import FIRST_PERSISTENT, FIRST_TRANSIENT, LAST_PERSISTENT

HandleType = Callable[[int, int], bool]

FIRST_NV_INDEX: Final = 0x0100_0000
LAST_NV_INDEX: Final = 0x01FF_FFFF


def either(*types: HandleType) -> HandleType:
    """A handle of any of these types."""
    first, *others = types
    if not others:
        return first
    rest = either(*others)
    return lambda slots, handle: first(slots, handle) or rest(slots, handle)


def _permanent(*handles: TpmRh) -> HandleType:
    allowed = frozenset(map(int, handles))
    return lambda slots, handle: handle in allowed


def _between(first: int, last: int) -> HandleType:
    return lambda slots, handle: first <= handle <= last


def _transient(slots: int, handle: int) -> bool:
    return FIRST_TRANSIENT <= handle < FIRST_TRANSIENT + slots


NULL: Final = _permanent(TpmRh.NULL)
TPMI_DH_PCR: Final = _between(0, PCR_COUNT - 1)
TPMI_DH_PCR_OR_NULL: Final = either(TPMI_DH_PCR, NULL)
TPMI_RH_NV_INDEX: Final = _between(FIRST_NV_INDEX, LAST_NV_INDEX)
TPMI_SH_HMAC: Final = _between(HMAC_FIRST, HMAC_FIRST + MAX_ACTIVE_SESSIONS - 1)
TPMI_SH_POLICY: Final = _between(POLICY_FIRST, POLICY_FIRST + MAX_ACTIVE_SESSIONS - 1)
TPMI_SH_AUTH_SESSION: Final = either(TPMI_SH_HMAC, TPMI_SH_POLICY)
TPMI_DH_PERSISTENT: Final = _between(FIRST_PERSISTENT, LAST_PERSISTENT)
TPMI_DH_OBJECT: Final = either(_transient, TPMI_DH_PERSISTENT)
TPMI_DH_OBJECT_OR_NULL: Final = either(TPMI_DH_OBJECT, NULL)
TPMI_DH_CONTEXT: Final = either(_transient, TPMI_SH_AUTH_SESSION)
TPMI_RH_HIERARCHY: Final = _permanent(
    TpmRh.OWNER, TpmRh.PLATFORM, TpmRh.ENDORSEMENT, TpmRh.NULL
)
TPMI_RH_HIERARCHY_AUTH: Final = _permanent(
    TpmRh.OWNER, TpmRh.PLATFORM, TpmRh.ENDORSEMENT, TpmRh.LOCKOUT
)
TPMI_RH_PLATFORM: Final = _permanent(TpmRh.PLATFORM)
TPMI_RH_OWNER: Final = _permanent(TpmRh.OWNER)
TPMI_RH_ENDORSEMENT: Final = _permanent(TpmRh.ENDORSEMENT)
TPMI_RH_LOCKOUT: Final = _permanent(TpmRh.LOCKOUT)
TPMI_RH_PROVISION: Final = _permanent(TpmRh.OWNER, TpmRh.PLATFORM)
TPMI_RH_CLEAR: Final = _permanent(TpmRh.LOCKOUT, TpmRh.PLATFORM)
TPMI_RH_BASE_HIERARCHY: Final = _permanent(
    TpmRh.OWNER, TpmRh.PLATFORM, TpmRh.ENDORSEMENT
)
TPMI_RH_ENABLES: Final = _permanent(
    TpmRh.OWNER, TpmRh.PLATFORM, TpmRh.ENDORSEMENT, TpmRh.PLATFORM_NV
)
TPMI_RH_NV_AUTH: Final = either(TPMI_RH_PROVISION, TPMI_RH_NV_INDEX)
TPMI_DH_PARENT: Final = either(TPMI_RH_HIERARCHY, TPMI_DH_OBJECT)
TPMI_DH_ENTITY: Final = either(
    TPMI_RH_HIERARCHY_AUTH, TPMI_DH_OBJECT, TPMI_RH_NV_INDEX, TPMI_DH_PCR
)
TPMI_DH_ENTITY_OR_NULL: Final = either(TPMI_DH_ENTITY, NULL)
