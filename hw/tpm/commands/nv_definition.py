"""NV_DefineSpace, NV_UndefineSpace(Special), NV_ReadPublic, NV_ChangeAuth (Part 3)."""

from __future__ import annotations

from typing import Final

from pefstack.hw.tpm.buffers import TPM2B_AUTH
from pefstack.hw.tpm.codes import DIGEST_SIZE, TpmaNv, TpmCc, TpmRh
from pefstack.hw.tpm.command import AuthRole, Command, Handle, Parameter
from pefstack.hw.tpm.handles import (
    TPMI_RH_NV_INDEX,
    TPMI_RH_PLATFORM,
    TPMI_RH_PROVISION,
)
from pefstack.hw.tpm.hierarchies import Hierarchy, trimmed
from pefstack.hw.tpm.nv import NvIndex
from pefstack.hw.tpm.nv_access import check_definition
from pefstack.hw.tpm.nv_public import TPM2B_NV_PUBLIC, NvPublic
from pefstack.hw.tpm.response_codes import RC_1, RC_P, Refusal, TpmRc
from pefstack.hw.tpm.state import Internals
from pefstack.hw.tpm.structures import put_tpm2b

_AUTH: Final = RC_P + RC_1


def nv_define_space(
    inner: Internals, auth_handle: Hierarchy, auth: bytes, public_info: NvPublic
) -> tuple[()]:
    """A new index, unwritten; by the owner or the platform."""
    hierarchies, nv = inner.state.hierarchies, inner.state.nv
    if auth_handle.handle == TpmRh.PLATFORM and not hierarchies.platform_nv_enabled:
        raise Refusal(TpmRc.HIERARCHY + RC_1)
    auth = trimmed(auth)
    if len(auth) > DIGEST_SIZE[public_info.name_alg]:
        raise Refusal(TpmRc.SIZE + _AUTH)
    check_definition(auth_handle, public_info)
    if public_info.index in nv.by_handle:
        raise Refusal(TpmRc.NV_DEFINED)
    if not nv.has_room(public_info.data_size):
        raise Refusal(TpmRc.NV_SPACE)
    nv.put(NvIndex.define(public_info, auth))
    inner.state.note_change()
    _tell(inner, "nv-define", public_info.index)
    return ()


def nv_undefine_space(
    inner: Internals, auth_handle: Hierarchy, index: NvIndex
) -> tuple[()]:
    """Remove an index; the owner cannot remove what the platform defined."""
    if index.has(TpmaNv.POLICY_DELETE):
        raise Refusal(TpmRc.ATTRIBUTES + 2 * RC_1)
    of_platform = index.has(TpmaNv.PLATFORMCREATE)
    if of_platform and auth_handle.handle != TpmRh.PLATFORM:
        raise Refusal(TpmRc.NV_AUTHORIZATION)
    _remove(inner, index)
    return ()


def nv_undefine_space_special(
    inner: Internals, index: NvIndex, platform: Hierarchy
) -> tuple[()]:
    """Remove an index that only its own policy lets go."""
    if not index.has(TpmaNv.POLICY_DELETE):
        raise Refusal(TpmRc.ATTRIBUTES + RC_1)
    _remove(inner, index)
    return ()


def _remove(inner: Internals, index: NvIndex) -> None:
    del inner.state.nv.by_handle[index.handle]
    inner.state.note_change()
    _tell(inner, "nv-undefine", index.handle)


def _tell(inner: Internals, kind: str, index: int) -> None:
    inner.journal.add("tpm", kind, index=f"0x{index:08x}")


def nv_read_public(inner: Internals, index: NvIndex) -> tuple[bytes, bytes]:
    """The public area, and the Name."""
    return index.public.to_bytes(), index.name


def nv_change_auth(inner: Internals, index: NvIndex, new_auth: bytes) -> tuple[()]:
    """Another authValue; the Name stays, so policies that name the index still hold."""
    new_auth = trimmed(new_auth)
    if len(new_auth) > DIGEST_SIZE[index.public.name_alg]:
        raise Refusal(TpmRc.SIZE + _AUTH)
    inner.state.nv.put(index.with_auth_value(new_auth))
    inner.state.note_change()
    return ()


NV_DEFINE_SPACE: Final = Command(
    code=TpmCc.NV_DEFINE_SPACE,
    action=nv_define_space,
    handles=(Handle(name="authHandle", type=TPMI_RH_PROVISION),),
    parameters=(
        Parameter(name="auth", unmarshal=TPM2B_AUTH),
        Parameter(name="publicInfo", unmarshal=TPM2B_NV_PUBLIC),
    ),
    writes_nv=True,
    decrypts=True,
)
NV_UNDEFINE_SPACE: Final = Command(
    code=TpmCc.NV_UNDEFINE_SPACE,
    action=nv_undefine_space,
    handles=(
        Handle(name="authHandle", type=TPMI_RH_PROVISION),
        Handle(name="nvIndex", type=TPMI_RH_NV_INDEX, role=AuthRole.NONE),
    ),
    writes_nv=True,
)
NV_UNDEFINE_SPACE_SPECIAL: Final = Command(
    code=TpmCc.NV_UNDEFINE_SPACE_SPECIAL,
    action=nv_undefine_space_special,
    handles=(
        Handle(name="nvIndex", type=TPMI_RH_NV_INDEX, role=AuthRole.ADMIN),
        Handle(name="platform", type=TPMI_RH_PLATFORM),
    ),
    writes_nv=True,
)
NV_READ_PUBLIC: Final = Command(
    code=TpmCc.NV_READ_PUBLIC,
    action=nv_read_public,
    handles=(Handle(name="nvIndex", type=TPMI_RH_NV_INDEX, role=AuthRole.NONE),),
    results=(put_tpm2b, put_tpm2b),
    encrypts=True,
)
NV_CHANGE_AUTH: Final = Command(
    code=TpmCc.NV_CHANGE_AUTH,
    action=nv_change_auth,
    handles=(Handle(name="nvIndex", type=TPMI_RH_NV_INDEX, role=AuthRole.ADMIN),),
    parameters=(Parameter(name="newAuth", unmarshal=TPM2B_AUTH),),
    writes_nv=True,
    decrypts=True,
)
COMMANDS: Final = (
    NV_DEFINE_SPACE,
    NV_UNDEFINE_SPACE,
    NV_UNDEFINE_SPACE_SPECIAL,
    NV_READ_PUBLIC,
    NV_CHANGE_AUTH,
)
