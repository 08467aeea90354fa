"""ContextSave, ContextLoad, FlushContext, EvictControl (Part 3, "Contexts")."""

from __future__ import annotations

from typing import Any, Final

from pefstack.hw.tpm.codes import PLATFORM_PERSISTENT, TpmCc, TpmRh
from pefstack.hw.tpm.command import AuthRole, Command, Handle, Parameter
from pefstack.hw.tpm.context import TPMS_CONTEXT, Context
from pefstack.hw.tpm.handles import TPMI_DH_CONTEXT, TPMI_DH_OBJECT, TPMI_RH_PROVISION
from pefstack.hw.tpm.hierarchies import Hierarchy
from pefstack.hw.tpm.interface_types import TPMI_DH_CONTEXT as READ_CONTEXT_HANDLE
from pefstack.hw.tpm.interface_types import TPMI_DH_PERSISTENT
from pefstack.hw.tpm.objects import (
    FIRST_PERSISTENT,
    FIRST_TRANSIENT,
    MAX_PERSISTENT,
    TpmObject,
)
from pefstack.hw.tpm.response_codes import RC_1, RC_P, Refusal, TpmRc, at
from pefstack.hw.tpm.saved_contexts import (
    load_object,
    load_session,
    save_object,
    save_session,
)
from pefstack.hw.tpm.session import Session
from pefstack.hw.tpm.state import Internals
from pefstack.hw.tpm.structures import put_structure, put_uint32

_FIRST: Final = RC_P + RC_1
_OBJECT: Final = 2 * RC_1


def context_save(inner: Internals, saved: Any) -> tuple[Context]:
    """An object stays loaded, a session does not."""
    if isinstance(saved, Session):
        return (save_session(inner, saved.handle),)
    return (save_object(inner, saved),)


def context_load(inner: Internals, context: Context) -> tuple[int]:
    """The handle: a new one for an object, its own for a session."""
    if context.saved_handle < FIRST_TRANSIENT:
        return (at(_FIRST, load_session, inner, context),)
    loaded = at(_FIRST, load_object, inner, context)
    return (inner.state.objects.load(loaded),)


def flush_context(inner: Internals, flush_handle: int) -> tuple[()]:
    """Free a slot, or end a session whether it is loaded or saved."""
    objects, sessions = inner.state.objects, inner.state.sessions
    if flush_handle < FIRST_TRANSIENT:
        if not sessions.is_active(flush_handle):
            raise Refusal(TpmRc.HANDLE + _FIRST)
        sessions.flush(flush_handle)
        return ()
    if flush_handle >= FIRST_TRANSIENT + objects.slot_count:
        raise Refusal(TpmRc.VALUE + _FIRST)
    if flush_handle not in objects.transient:
        raise Refusal(TpmRc.HANDLE + _FIRST)
    objects.flush(flush_handle)
    return ()


def evict_control(
    inner: Internals, auth: Hierarchy, loaded: Any, persistent_handle: int
) -> tuple[()]:
    """Make a loaded object persistent, or a persistent one no more."""
    kept, handle = inner.state.objects.persistent, inner.handles[1]
    is_kept = handle >= FIRST_PERSISTENT
    _check_evict(auth, loaded, is_kept=is_kept)
    if is_kept:
        if handle != persistent_handle:
            raise Refusal(TpmRc.HANDLE + _OBJECT)
        del kept[handle]
    else:
        _check_range(auth, persistent_handle)
        if persistent_handle in kept:
            raise Refusal(TpmRc.NV_DEFINED)
        if len(kept) >= MAX_PERSISTENT:
            raise Refusal(TpmRc.NV_SPACE)
        kept[persistent_handle] = loaded
    inner.state.note_change()
    event = "evict" if is_kept else "persist"
    inner.journal.add("tpm", event, handle=persistent_handle, name=loaded.name.hex())
    return ()


def _check_evict(auth: Hierarchy, loaded: Any, *, is_kept: bool) -> None:
    """Whole, lasting, and of a hierarchy that the authority governs."""
    lasts = isinstance(loaded, TpmObject) and loaded.sensitive is not None
    if not lasts or loaded.hierarchy == TpmRh.NULL or loaded.is_st_clear:
        raise Refusal(TpmRc.ATTRIBUTES + _OBJECT)
    is_platforms = loaded.hierarchy == TpmRh.PLATFORM
    by_platform = auth.handle == TpmRh.PLATFORM
    if is_platforms is not by_platform and not (by_platform and is_kept):
        raise Refusal(TpmRc.HIERARCHY + _OBJECT)


def _check_range(auth: Hierarchy, persistent_handle: int) -> None:
    """The upper half of the handles is the platform's."""
    is_platforms = persistent_handle >= PLATFORM_PERSISTENT
    if is_platforms is not (auth.handle == TpmRh.PLATFORM):
        raise Refusal(TpmRc.RANGE + _FIRST)


CONTEXT_SAVE: Final = Command(
    code=TpmCc.CONTEXT_SAVE,
    action=context_save,
    handles=(Handle(name="saveHandle", type=TPMI_DH_CONTEXT, role=AuthRole.NONE),),
    results=(put_structure,),
    allows_sessions=False,
)
CONTEXT_LOAD: Final = Command(
    code=TpmCc.CONTEXT_LOAD,
    action=context_load,
    parameters=(Parameter(name="context", unmarshal=TPMS_CONTEXT),),
    results=(put_uint32,),
    gives_handle=True,
    allows_sessions=False,
)
FLUSH_CONTEXT: Final = Command(
    code=TpmCc.FLUSH_CONTEXT,
    action=flush_context,
    parameters=(Parameter(name="flushHandle", unmarshal=READ_CONTEXT_HANDLE),),
    allows_sessions=False,
)
EVICT_CONTROL: Final = Command(
    code=TpmCc.EVICT_CONTROL,
    action=evict_control,
    handles=(
        Handle(name="auth", type=TPMI_RH_PROVISION),
        Handle(name="objectHandle", type=TPMI_DH_OBJECT, role=AuthRole.NONE),
    ),
    parameters=(Parameter(name="persistentHandle", unmarshal=TPMI_DH_PERSISTENT),),
    writes_nv=True,
)
COMMANDS: Final = (
    CONTEXT_SAVE,
    CONTEXT_LOAD,
    FLUSH_CONTEXT,
    EVICT_CONTROL,
)
