"""What a handle stands for (Part 1, "Handles"; Part 3, "Handle Area Validation").

An entity that can be authorized has ``name``, ``auth_value``, ``auth_policy``,
``policy_alg`` and ``is_da_protected``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from pefstack.hw.tpm.codes import PCR_COUNT, PLATFORM_PERSISTENT, TpmAlgId, TpmHt, TpmRh
from pefstack.hw.tpm.hierarchies import Hierarchy
from pefstack.hw.tpm.nv import NvIndex
from pefstack.hw.tpm.objects import Loadable, TpmObject
from pefstack.hw.tpm.pcr_group import in_group
from pefstack.hw.tpm.response_codes import Refusal, TpmRc
from pefstack.hw.tpm.state import Internals

if TYPE_CHECKING:
    from pefstack.hw.tpm.session import Session

TPMA_NV_PLATFORMCREATE: Final = 1 << 30
_OWNER: Final = int(TpmRh.OWNER)


class Pcr(int):
    """A PCR as an entity: its number, which is its handle too.

    Its authValue is empty and it has no policy, unless it is one of the `PcrGroup`.
    """

    auth_value: bytes = b""
    auth_policy: bytes = b""
    policy_alg: int = int(TpmAlgId.NULL)
    is_da_protected: Final = False

    @property
    def name(self) -> bytes:
        """The Name of a PCR: its handle's four bytes."""
        return self.to_bytes(4, "big")


_PCRS: Final = tuple(Pcr(number) for number in range(PCR_COUNT))


def resolve(inner: Internals, handle: int) -> Any:
    """The entity; raises `Refusal` without the part that says where.

    TPM_RC_REFERENCE_H0 stands for something that is not loaded.
    """
    return _BY_TYPE[handle >> 24](inner, handle)


def _pcr(inner: Internals, handle: int) -> Pcr:
    if not in_group(handle):
        return _PCRS[handle]
    pcr, group = Pcr(handle), inner.state.pcr_group
    pcr.auth_value = group.auth_value
    pcr.auth_policy, pcr.policy_alg = group.auth_policy, group.policy_alg
    return pcr


def _permanent(inner: Internals, handle: int) -> Hierarchy:
    hierarchy = inner.state.hierarchies[handle]
    if not hierarchy.enabled:
        raise Refusal(TpmRc.HIERARCHY)
    return hierarchy


def _transient(inner: Internals, handle: int) -> Loadable:
    found = inner.state.objects.transient.get(handle)
    if found is None:
        raise Refusal(TpmRc.REFERENCE_H0)
    return found


def _persistent(inner: Internals, handle: int) -> TpmObject:
    found = inner.state.objects.persistent.get(handle)
    keeper = TpmRh.PLATFORM if handle >= PLATFORM_PERSISTENT else TpmRh.OWNER
    hierarchies = inner.state.hierarchies
    if not hierarchies[keeper].enabled:
        raise Refusal(TpmRc.HANDLE)
    inner.state.objects.borrow()
    if found is None:
        raise Refusal(TpmRc.HANDLE)
    if not hierarchies[found.hierarchy].enabled:  # an endorsement key, the owner's
        raise Refusal(TpmRc.HANDLE)
    return found


def _nv_index(inner: Internals, handle: int) -> NvIndex:
    found = inner.state.nv.by_handle.get(handle)
    if found is None:
        raise Refusal(TpmRc.HANDLE)
    hierarchies = inner.state.hierarchies
    if found.has(TPMA_NV_PLATFORMCREATE):
        enabled = hierarchies.platform_nv_enabled
    else:
        enabled = hierarchies[_OWNER].enabled
    if not enabled:
        raise Refusal(TpmRc.HANDLE)
    return found


def _session(inner: Internals, handle: int) -> Session:
    sessions = inner.state.sessions
    found = sessions.get(handle)
    if found is None:  # a loaded session of the other type has this number
        loaded = sessions.is_loaded(handle)
        raise Refusal(TpmRc.HANDLE if loaded else TpmRc.REFERENCE_H0)
    return found


_BY_TYPE: Final[dict[int, Callable[[Internals, int], Any]]] = {
    TpmHt.PCR: _pcr,
    TpmHt.NV_INDEX: _nv_index,
    TpmHt.HMAC_SESSION: _session,
    TpmHt.POLICY_SESSION: _session,
    TpmHt.PERMANENT: _permanent,
    TpmHt.TRANSIENT: _transient,
    TpmHt.PERSISTENT: _persistent,
}
