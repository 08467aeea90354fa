"""Which wrong authValues count as guesses, and when nobody may try (tpm.md 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pefstack.hw.tpm.codes import TpmNt, TpmRh
from pefstack.hw.tpm.dictionary_attack import Bound
from pefstack.hw.tpm.hierarchies import Hierarchy
from pefstack.hw.tpm.nv import NvIndex
from pefstack.hw.tpm.pin import count_pin
from pefstack.hw.tpm.state import Internals

if TYPE_CHECKING:
    from pefstack.hw.tpm.session import Session


_FREE: Final = Bound.FREE
_LOCKOUT: Final = int(TpmRh.LOCKOUT)


def counts(entity: Any) -> bool:
    """Whether a wrong authValue counts as a guess."""
    return bound_kind(entity) is not Bound.FREE


def bound_kind(entity: Any) -> Bound:
    """What a session bound to this entity has to do with guesses."""
    if isinstance(entity, Hierarchy):
        return Bound.LOCKOUT if entity.handle == _LOCKOUT else _FREE
    return Bound.PROTECTED if entity.is_da_protected else _FREE


def check_lockout(inner: Internals, entity: Any) -> None:
    """TPM_RC_LOCKOUT where there were too many guesses; from now on one may follow."""
    kind = bound_kind(entity)
    if kind is _FREE:
        return
    _check(inner, kind)
    if kind is Bound.PROTECTED:
        inner.state.dictionary_attack.used = True


def check_bound_lockout(inner: Internals, session: Session | None) -> None:
    """The same for what a session is bound to, whatever it is used for."""
    if session is not None:
        _check(inner, session.bound_kind)


def _check(inner: Internals, kind: Bound) -> None:
    if kind is Bound.FREE:
        return
    attack = inner.state.dictionary_attack
    attack.heal(inner.clock_value())
    if kind is Bound.LOCKOUT:
        attack.check_lockout()
    else:
        attack.check()


def note(inner: Internals, entity: Any, *, good: bool) -> None:
    """An authValue was given; a PIN index counts by itself."""
    if isinstance(entity, NvIndex) and entity.type in (TpmNt.PIN_FAIL, TpmNt.PIN_PASS):
        count_pin(inner, entity, good=good)
        return
    if not good:
        _fail(inner, bound_kind(entity))


def note_bound(inner: Internals, session: Session | None) -> bool:
    """A wrong HMAC may be a guess of what the session is bound to; whether it is."""
    if session is None or session.bound_kind is Bound.FREE:
        return False
    _fail(inner, session.bound_kind)
    return True


def _fail(inner: Internals, kind: Bound) -> None:
    if kind is Bound.FREE:
        return
    attack, now = inner.state.dictionary_attack, inner.clock_value()
    if kind is Bound.LOCKOUT:
        attack.fail_lockout(now)
    else:
        attack.fail(now)
    inner.state.note_change()
