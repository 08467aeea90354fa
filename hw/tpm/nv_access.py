"""Who may read and write an NV index, and which definitions hold (tpm.md 5; Part 3)."""

from __future__ import annotations

from typing import Any, Final

from pefstack.hw.tpm.codes import (
    DIGEST_SIZE,
    MAX_NV_BUFFER_SIZE,
    TpmaNv,
    TpmNt,
    TpmRh,
)
from pefstack.hw.tpm.hierarchies import Hierarchy
from pefstack.hw.tpm.nv import NvIndex
from pefstack.hw.tpm.nv_public import NvPublic
from pefstack.hw.tpm.response_codes import RC_1, RC_P, Refusal, TpmRc

PUBLIC_INFO: Final = RC_P + 2 * RC_1  # the second parameter of NV_DefineSpace
_AUTH_HANDLE: Final = RC_1
# plain numbers: each NV_Read looks at these
_OWNER: Final = int(TpmRh.OWNER)
_READLOCKED: Final = int(TpmaNv.READLOCKED)
_OWNERREAD: Final = int(TpmaNv.OWNERREAD)
_PPREAD: Final = int(TpmaNv.PPREAD)
_WRITTEN: Final = int(TpmaNv.WRITTEN)
_READ: Final = TpmaNv.PPREAD | TpmaNv.OWNERREAD | TpmaNv.AUTHREAD | TpmaNv.POLICYREAD
_WRITE: Final = (
    TpmaNv.PPWRITE | TpmaNv.OWNERWRITE | TpmaNv.AUTHWRITE | TpmaNv.POLICYWRITE
)
_STATE: Final = TpmaNv.WRITTEN | TpmaNv.WRITELOCKED | TpmaNv.READLOCKED
_NOT_FOR_PIN: Final = TpmaNv.AUTHWRITE | TpmaNv.GLOBALLOCK | TpmaNv.WRITEDEFINE
_EIGHT_BYTES: Final = (TpmNt.COUNTER, TpmNt.BITS, TpmNt.PIN_FAIL, TpmNt.PIN_PASS)
_PINS: Final = (TpmNt.PIN_FAIL, TpmNt.PIN_PASS)


def check_read(authorizing: Any, index: NvIndex) -> None:
    """TPM_RC_NV_LOCKED, _AUTHORIZATION, _UNINITIALIZED, in this order."""
    if index.has(_READLOCKED):
        raise Refusal(TpmRc.NV_LOCKED)
    _check_right(authorizing, index, _OWNERREAD, _PPREAD)
    if not index.has(_WRITTEN):
        raise Refusal(TpmRc.NV_UNINITIALIZED)


def check_write(authorizing: Any, index: NvIndex) -> None:
    """TPM_RC_NV_LOCKED, then _AUTHORIZATION."""
    if index.has(TpmaNv.WRITELOCKED):
        raise Refusal(TpmRc.NV_LOCKED)
    _check_right(authorizing, index, TpmaNv.OWNERWRITE, TpmaNv.PPWRITE)


def _check_right(authorizing: Any, index: NvIndex, owner: int, platform: int) -> None:
    """A hierarchy needs its attribute; an index authorizes only for itself."""
    if isinstance(authorizing, Hierarchy):
        wanted = owner if authorizing.handle == _OWNER else platform
        if not index.has(wanted):
            raise Refusal(TpmRc.NV_AUTHORIZATION)
    elif authorizing.handle != index.handle:
        raise Refusal(TpmRc.NV_AUTHORIZATION)


def check_definition(authorizing: Hierarchy, public: NvPublic) -> None:
    """Whether an index may be like this (Part 3, "TPM2_NV_DefineSpace")."""
    if public.auth_policy and len(public.auth_policy) != DIGEST_SIZE[public.name_alg]:
        raise Refusal(TpmRc.SIZE + PUBLIC_INFO)
    _check_type(public)
    is_platform = authorizing.handle == TpmRh.PLATFORM
    _check_attributes(public, is_platform=is_platform)
    if is_platform is not bool(public.attributes & TpmaNv.PLATFORMCREATE):
        raise Refusal(TpmRc.ATTRIBUTES + _AUTH_HANDLE)


def _check_type(public: NvPublic) -> None:
    """Each type has its size."""
    kind, size = public.nv_type, public.data_size
    if kind in _EIGHT_BYTES:
        fits = size == 8
    elif kind == TpmNt.EXTEND:
        fits = size == DIGEST_SIZE[public.name_alg]
    elif kind == TpmNt.ORDINARY:
        write_all = public.attributes & TpmaNv.WRITEALL
        fits = not write_all or size <= MAX_NV_BUFFER_SIZE
    else:
        raise Refusal(TpmRc.ATTRIBUTES + PUBLIC_INFO)
    if not fits:
        raise Refusal(TpmRc.SIZE + PUBLIC_INFO)


def _check_attributes(public: NvPublic, *, is_platform: bool) -> None:
    attributes, kind = public.attributes, public.nv_type
    wrong = (
        attributes & _STATE,
        not attributes & _READ,
        not attributes & _WRITE,
        attributes & TpmaNv.POLICY_DELETE and not is_platform,
        attributes & TpmaNv.CLEAR_STCLEAR and kind == TpmNt.COUNTER,
        attributes & TpmaNv.CLEAR_STCLEAR and attributes & TpmaNv.WRITEDEFINE,
        attributes & _NOT_FOR_PIN and kind in _PINS,
        not attributes & TpmaNv.NO_DA and kind == TpmNt.PIN_FAIL,
    )
    if any(wrong):
        raise Refusal(TpmRc.ATTRIBUTES + PUBLIC_INFO)
