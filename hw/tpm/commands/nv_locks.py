"""NV_WriteLock, NV_ReadLock, NV_GlobalWriteLock (Part 3)."""

from __future__ import annotations

from typing import Any, Final

from pefstack.hw.tpm.codes import TpmaNv, TpmCc
from pefstack.hw.tpm.command import AuthRole, Command, Handle
from pefstack.hw.tpm.handles import (
    TPMI_RH_NV_AUTH,
    TPMI_RH_NV_INDEX,
    TPMI_RH_PROVISION,
)
from pefstack.hw.tpm.hierarchies import Hierarchy
from pefstack.hw.tpm.nv import NvIndex
from pefstack.hw.tpm.nv_access import check_read, check_write
from pefstack.hw.tpm.response_codes import RC_1, Refusal, TpmRc
from pefstack.hw.tpm.state import Internals

_NV_INDEX: Final = 2 * RC_1


def nv_write_lock(inner: Internals, authorizing: Any, index: NvIndex) -> tuple[()]:
    """No writes until the next Startup(CLEAR), or for ever; locked twice is locked."""
    try:
        check_write(authorizing, index)
    except Refusal as refusal:
        if refusal.rc != TpmRc.NV_LOCKED:
            raise
        return ()
    if not index.has(TpmaNv.WRITEDEFINE | TpmaNv.WRITE_STCLEAR):
        raise Refusal(TpmRc.ATTRIBUTES + _NV_INDEX)
    _lock(inner, index, TpmaNv.WRITELOCKED)
    return ()


def nv_read_lock(inner: Internals, authorizing: Any, index: NvIndex) -> tuple[()]:
    """No reads until the next Startup(CLEAR); an unwritten index can be locked."""
    try:
        check_read(authorizing, index)
    except Refusal as refusal:
        if refusal.rc == TpmRc.NV_LOCKED:
            return ()
        if refusal.rc != TpmRc.NV_UNINITIALIZED:
            raise
    if not index.has(TpmaNv.READ_STCLEAR):
        raise Refusal(TpmRc.ATTRIBUTES + _NV_INDEX)
    _lock(inner, index, TpmaNv.READLOCKED)
    return ()


def nv_global_write_lock(inner: Internals, auth_handle: Hierarchy) -> tuple[()]:
    """Lock every index that was defined with GLOBALLOCK."""
    for index in list(inner.state.nv.by_handle.values()):
        if index.has(TpmaNv.GLOBALLOCK):
            _lock(inner, index, TpmaNv.WRITELOCKED)
    return ()


def _lock(inner: Internals, index: NvIndex, lock: TpmaNv) -> None:
    inner.state.nv.put(index.with_attributes(set_=lock))
    inner.state.note_change()
    inner.journal.add("tpm", "nv-lock", index=f"0x{index.handle:08x}")


_HANDLES: Final = (
    Handle(name="authHandle", type=TPMI_RH_NV_AUTH),
    Handle(name="nvIndex", type=TPMI_RH_NV_INDEX, role=AuthRole.NONE),
)
COMMANDS: Final = (
    Command(
        code=TpmCc.NV_WRITE_LOCK,
        action=nv_write_lock,
        handles=_HANDLES,
        writes_nv=True,
    ),
    Command(
        code=TpmCc.NV_READ_LOCK, action=nv_read_lock, handles=_HANDLES, writes_nv=True
    ),
    Command(
        code=TpmCc.NV_GLOBAL_WRITE_LOCK,
        action=nv_global_write_lock,
        handles=(Handle(name="authHandle", type=TPMI_RH_PROVISION),),
        writes_nv=True,
    ),
)
