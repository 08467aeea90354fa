"""Who may act: the checks of every session of a command (Part 1, "Authorizations").

A failed check changes nothing but the counter of guesses.
"""

from __future__ import annotations

from hmac import compare_digest
from typing import TYPE_CHECKING, Any, Final

from pefstack.hw.tpm.codes import TpmAlgId, TpmaObject, TpmaSession, TpmCc
from pefstack.hw.tpm.command import AuthRole
from pefstack.hw.tpm.entities import Pcr
from pefstack.hw.tpm.guessing import (
    check_bound_lockout,
    check_lockout,
    counts,
    note,
    note_bound,
)
from pefstack.hw.tpm.hierarchies import Hierarchy, trimmed
from pefstack.hw.tpm.invocation import Invocation
from pefstack.hw.tpm.nv import NvIndex
from pefstack.hw.tpm.objects import TpmObject
from pefstack.hw.tpm.pcr_group import in_group
from pefstack.hw.tpm.pin import check_pin
from pefstack.hw.tpm.response_codes import Refusal, TpmRc
from pefstack.hw.tpm.session_area import where
from pefstack.hw.tpm.session_use import SessionUse
from pefstack.hw.tpm.state import Internals

if TYPE_CHECKING:
    from pefstack.hw.tpm.session import Session

_PP_COMMANDS: Final = int(TpmCc.PP_COMMANDS)
_NULL: Final = int(TpmAlgId.NULL)
_USER: Final = AuthRole.USER
_WITHOUT_PLACE: Final = frozenset((int(TpmRc.PCR_CHANGED), int(TpmRc.LOCALITY)))
_USES: Final = TpmaSession.DECRYPT | TpmaSession.ENCRYPT | TpmaSession.AUDIT


def authorize(inner: Internals, call: Invocation, uses: list[SessionUse]) -> None:
    """Check every session in its turn; raises `Refusal`."""
    count = call.command.auth_count
    if len(uses) < count:
        raise Refusal(TpmRc.AUTH_MISSING)
    for index, use in enumerate(uses):
        if use.session is not None:
            _check_usable(inner, use.session, index)
        if index >= count:
            _check_useful(use, index)
            _check_further(inner, call, uses, index)
        elif use.session is None:
            _check_password(inner, call, index, use.auth)
        else:
            _check_session(inner, call, uses, index, use.session)


def _check_usable(inner: Internals, session: Session, index: int) -> None:
    """It is no trial (Part 1, "Trial Policy"), and its entity is not locked out."""
    if session.is_trial:
        raise Refusal(TpmRc.ATTRIBUTES + where(index))
    check_bound_lockout(inner, session)


def _check_useful(use: SessionUse, index: int) -> None:
    """A session that authorizes nothing must be there for something else."""
    if use.session is None:
        raise Refusal(TpmRc.HANDLE + where(index))
    if not use.attributes & _USES:
        raise Refusal(TpmRc.ATTRIBUTES + where(index))


def _check_further(
    inner: Internals, call: Invocation, uses: list[SessionUse], index: int
) -> None:
    """A session that authorizes nothing has an HMAC all the same."""
    if not _hmac_is_good(call, uses, index, None):
        guessed = note_bound(inner, uses[index].session)
        rc = TpmRc.AUTH_FAIL if guessed else TpmRc.BAD_AUTH
        raise Refusal(rc + where(index))


def _check_password(
    inner: Internals, call: Invocation, index: int, password: bytes
) -> None:
    """One handle's authorization by a password: is it allowed, and is it right."""
    entity = call.entities[index]
    _check_presence(call, index)
    check_lockout(inner, entity)
    _check_way(call, index, entity, is_policy=False)
    good = compare_digest(trimmed(password), entity.auth_value)
    note(inner, entity, good=good)
    if not good:
        rc = TpmRc.AUTH_FAIL if counts(entity) else TpmRc.BAD_AUTH
        raise Refusal(rc + where(index))


def _check_session(
    inner: Internals,
    call: Invocation,
    uses: list[SessionUse],
    index: int,
    session: Session,
) -> None:
    """The same by a session with an HMAC or a policy."""
    entity = call.entities[index]
    _check_presence(call, index)
    takes_auth = _takes_auth_value(session)
    if takes_auth:
        check_lockout(inner, entity)
    _check_way(call, index, entity, is_policy=session.is_policy)
    if session.is_policy:
        _check_policy(inner, call, session, index, entity)
    good = _auth_is_good(call, uses, index, session)
    if takes_auth:
        note(inner, entity, good=good)
    if not good:
        guessed = (takes_auth and counts(entity)) or note_bound(inner, session)
        rc = TpmRc.AUTH_FAIL if guessed else TpmRc.BAD_AUTH
        raise Refusal(rc + where(index))


def _check_presence(call: Invocation, index: int) -> None:
    if call.command.code == _PP_COMMANDS:  # nobody can push a button
        raise Refusal(TpmRc.PP + where(index))


def _takes_auth_value(session: Session) -> bool:
    """Whether the entity's authValue is proven; a policy may do without."""
    if session.policy is None:
        return True
    return session.policy.needs_auth_value or session.policy.needs_password


def _check_policy(
    inner: Internals, call: Invocation, session: Session, index: int, entity: Any
) -> None:
    from pefstack.hw.tpm.policy_check import check_policy  # a boot has no policies

    try:
        check_policy(inner, call, session, index, entity)
    except Refusal as refusal:
        place = 0 if refusal.rc in _WITHOUT_PLACE else where(index)
        raise Refusal(refusal.rc + place) from None


def _check_way(call: Invocation, index: int, entity: Any, *, is_policy: bool) -> None:
    """Whether authValue or policy may be used for this entity in this role."""
    role = call.role(index)
    code = call.command.code
    if is_policy:
        if not _policy_available(entity, code):
            raise Refusal(TpmRc.AUTH_UNAVAILABLE)
        return
    if role is _USER and isinstance(entity, Hierarchy):
        return
    if _policy_is_required(entity, role):
        raise Refusal(TpmRc.AUTH_TYPE)
    if not _auth_value_available(entity, role, code):
        raise Refusal(TpmRc.AUTH_UNAVAILABLE)


def _policy_is_required(entity: Any, role: AuthRole) -> bool:
    if isinstance(entity, Pcr):  # it has no other role
        return entity.policy_alg != _NULL
    if role is _USER:
        return False
    if role is AuthRole.DUP:
        return True
    if isinstance(entity, NvIndex):
        return True
    attributes = entity.public.attributes if isinstance(entity, TpmObject) else 0
    return bool(attributes & TpmaObject.ADMIN_WITH_POLICY)


def _auth_value_available(entity: Any, role: AuthRole, code: int) -> bool:
    if isinstance(entity, TpmObject):
        allowed = role is not AuthRole.USER or entity.public.has(
            TpmaObject.USER_WITH_AUTH
        )
        return allowed and entity.sensitive is not None
    if isinstance(entity, NvIndex):
        return entity.allows_auth_value(code) and check_pin(entity)
    return True


def _policy_available(entity: Any, code: int) -> bool:
    if isinstance(entity, NvIndex):
        role_is_admin = code in (TpmCc.NV_CHANGE_AUTH, TpmCc.NV_UNDEFINE_SPACE_SPECIAL)
        return bool(entity.auth_policy) and (
            role_is_admin or entity.allows_policy(code)
        )
    if isinstance(entity, TpmObject):  # an empty policy is one that nothing meets
        return entity.sensitive is not None
    if isinstance(entity, Pcr):
        return in_group(entity)
    return bool(entity.auth_policy)


def _auth_is_good(
    call: Invocation, uses: list[SessionUse], index: int, session: Session
) -> bool:
    entity = call.entities[index]
    if session.policy is not None and session.policy.needs_password:
        return compare_digest(trimmed(uses[index].auth), entity.auth_value)
    return _hmac_is_good(call, uses, index, entity)


def _hmac_is_good(
    call: Invocation, uses: list[SessionUse], index: int, entity: Any | None
) -> bool:
    from pefstack.hw.tpm.session_hmac import hmac_is_good  # a boot has passwords only

    return hmac_is_good(call, uses, index, entity)
