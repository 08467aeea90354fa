"""The hierarchies and their authorizations (Part 3, "Hierarchy Commands")."""

from __future__ import annotations

from typing import Final

from pefstack.hw.tpm.buffers import TPM2B_AUTH, TPM2B_DIGEST
from pefstack.hw.tpm.codes import DIGEST_SIZE, TpmAlgId, TpmCc, TpmRh
from pefstack.hw.tpm.command import Command, Handle, Parameter
from pefstack.hw.tpm.dictionary_attack import DictionaryAttack
from pefstack.hw.tpm.handles import (
    TPMI_RH_BASE_HIERARCHY,
    TPMI_RH_CLEAR,
    TPMI_RH_HIERARCHY_AUTH,
    TPMI_RH_PLATFORM,
)
from pefstack.hw.tpm.hierarchies import PROOF_SIZE, Hierarchy, trimmed
from pefstack.hw.tpm.interface_types import TPMI_ALG_HASH_OR_NULL, TPMI_RH_ENABLES
from pefstack.hw.tpm.response_codes import RC_1, RC_P, Refusal, TpmRc
from pefstack.hw.tpm.state import Internals
from pefstack.hw.tpm.structures import TPMI_YES_NO

_POLICY: Final = RC_P + RC_1
_NAME: Final[dict[int, str]] = {
    TpmRh.OWNER: "owner",
    TpmRh.ENDORSEMENT: "endorsement",
    TpmRh.PLATFORM: "platform",
    TpmRh.PLATFORM_NV: "platform-nv",
    TpmRh.LOCKOUT: "lockout",
}


def hierarchy_control(
    inner: Internals, auth: Hierarchy, enable: int, state: int
) -> tuple[()]:
    """Close a hierarchy until Startup(CLEAR), or open it with platform authority."""
    hierarchies = inner.state.hierarchies
    if auth.handle != TpmRh.PLATFORM:
        closes = auth.handle == enable and not state
        if not closes and (auth.handle != enable or not hierarchies[enable].enabled):
            raise Refusal(TpmRc.AUTH_TYPE)
    if enable == TpmRh.PLATFORM_NV:
        hierarchies.platform_nv_enabled = bool(state)
    else:
        hierarchies[enable].enabled = bool(state)
        if not state:
            inner.state.objects.flush_hierarchy(enable)
    _note(inner, "hierarchy-control", enable, enabled=bool(state))
    return ()


def hierarchy_change_auth(
    inner: Internals, auth: Hierarchy, new_auth: bytes
) -> tuple[()]:
    """Another authValue; the platform's is empty again after Startup(CLEAR)."""
    auth.auth_value = trimmed(new_auth)
    _note(inner, "change-auth", auth.handle)
    return ()


def set_primary_policy(
    inner: Internals, auth: Hierarchy, auth_policy: bytes, hash_alg: int
) -> tuple[()]:
    """Another policy, of the size of its hash; none with TPM_ALG_NULL."""
    if len(auth_policy) != DIGEST_SIZE.get(hash_alg, 0):
        raise Refusal(TpmRc.SIZE + _POLICY)
    auth.auth_policy, auth.policy_alg = auth_policy, hash_alg
    _note(inner, "change-policy", auth.handle)
    return ()


def change_pps(inner: Internals, platform: Hierarchy) -> tuple[()]:
    """Another platform seed: no object of that hierarchy can be used any more."""
    _new_seed(inner, platform)
    platform.auth_policy, platform.policy_alg = b"", TpmAlgId.NULL
    _note(inner, "change-seed", TpmRh.PLATFORM)
    return ()


def change_eps(inner: Internals, _: Hierarchy) -> tuple[()]:
    """Another endorsement seed, with empty authorizations, and open again."""
    endorsement = inner.state.hierarchies[TpmRh.ENDORSEMENT]
    endorsement.enabled = True
    _new_seed(inner, endorsement)
    endorsement.clear_auth()
    _note(inner, "change-seed", TpmRh.ENDORSEMENT)
    return ()


def clear(inner: Internals, auth: Hierarchy) -> tuple[()]:
    """Take the owner away: its keys, indexes and authorizations, and every guess.

    The endorsement seed stays, so endorsement keys can be made again; what is the
    platform's stays, too.
    """
    state, hierarchies = inner.state, inner.state.hierarchies
    if hierarchies.disable_clear:
        raise Refusal(TpmRc.DISABLED)
    endorsement = hierarchies[TpmRh.ENDORSEMENT]
    _new_seed(inner, hierarchies[TpmRh.OWNER])
    _forget_objects(inner, TpmRh.ENDORSEMENT)
    endorsement.proof = inner.entropy.random_bytes(PROOF_SIZE)
    for handle in (TpmRh.OWNER, TpmRh.ENDORSEMENT, TpmRh.LOCKOUT):
        hierarchies[handle].clear_auth()
        hierarchies[handle].enabled = True
    state.nv.remove_owners()
    state.dictionary_attack = DictionaryAttack()
    state.pcrs.count_change()
    state.reset_count = state.restart_count = 0
    inner.set_clock(0)
    _note(inner, "clear", auth.handle)
    return ()


def clear_control(inner: Internals, auth: Hierarchy, disable: int) -> tuple[()]:
    """Forbid Clear; only the platform allows it again."""
    if auth.handle == TpmRh.LOCKOUT and not disable:
        raise Refusal(TpmRc.AUTH_FAIL)
    inner.state.hierarchies.disable_clear = bool(disable)
    _note(inner, "clear-control", auth.handle, disabled=bool(disable))
    return ()


def _new_seed(inner: Internals, hierarchy: Hierarchy) -> None:
    hierarchy.new_seed(inner.entropy)
    _forget_objects(inner, hierarchy.handle)


def _forget_objects(inner: Internals, hierarchy: int) -> None:
    inner.state.objects.flush_hierarchy(hierarchy)
    inner.state.objects.remove_persistent(hierarchy)


def _note(inner: Internals, event: str, handle: int, **facts: bool) -> None:
    """It lasts, and people want to know of it."""
    inner.state.note_change()
    inner.journal.add("tpm", event, hierarchy=_NAME[handle], **facts)


HIERARCHY_CONTROL: Final = Command(
    code=TpmCc.HIERARCHY_CONTROL,
    action=hierarchy_control,
    handles=(Handle(name="authHandle", type=TPMI_RH_BASE_HIERARCHY),),
    parameters=(
        Parameter(name="enable", unmarshal=TPMI_RH_ENABLES),
        Parameter(name="state", unmarshal=TPMI_YES_NO),
    ),
    writes_nv=True,
    is_extensive=True,
)
HIERARCHY_CHANGE_AUTH: Final = Command(
    code=TpmCc.HIERARCHY_CHANGE_AUTH,
    action=hierarchy_change_auth,
    handles=(Handle(name="authHandle", type=TPMI_RH_HIERARCHY_AUTH),),
    parameters=(Parameter(name="newAuth", unmarshal=TPM2B_AUTH),),
    writes_nv=True,
    decrypts=True,
)
SET_PRIMARY_POLICY: Final = Command(
    code=TpmCc.SET_PRIMARY_POLICY,
    action=set_primary_policy,
    handles=(Handle(name="authHandle", type=TPMI_RH_HIERARCHY_AUTH),),
    parameters=(
        Parameter(name="authPolicy", unmarshal=TPM2B_DIGEST),
        Parameter(name="hashAlg", unmarshal=TPMI_ALG_HASH_OR_NULL),
    ),
    writes_nv=True,
    decrypts=True,
)
CHANGE_PPS: Final = Command(
    code=TpmCc.CHANGE_PPS,
    action=change_pps,
    handles=(Handle(name="authHandle", type=TPMI_RH_PLATFORM),),
    writes_nv=True,
    is_extensive=True,
)
CHANGE_EPS: Final = Command(
    code=TpmCc.CHANGE_EPS,
    action=change_eps,
    handles=(Handle(name="authHandle", type=TPMI_RH_PLATFORM),),
    writes_nv=True,
    is_extensive=True,
)
CLEAR: Final = Command(
    code=TpmCc.CLEAR,
    action=clear,
    handles=(Handle(name="authHandle", type=TPMI_RH_CLEAR),),
    writes_nv=True,
    is_extensive=True,
)
CLEAR_CONTROL: Final = Command(
    code=TpmCc.CLEAR_CONTROL,
    action=clear_control,
    handles=(Handle(name="auth", type=TPMI_RH_CLEAR),),
    parameters=(Parameter(name="disable", unmarshal=TPMI_YES_NO),),
    writes_nv=True,
)
COMMANDS: Final = (
    HIERARCHY_CONTROL,
    HIERARCHY_CHANGE_AUTH,
    SET_PRIMARY_POLICY,
    CHANGE_PPS,
    CHANGE_EPS,
    CLEAR,
    CLEAR_CONTROL,
)
