"""Wrong authorizations that count as guesses (Part 1, "Dictionary Attack Protection").

A session bound to a protected entity proves that entity's authValue with every use, so
a wrong HMAC there is a guess at it, whatever the command authorizes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeGuard

from pefstack.hw.tpm.codes import TpmNt, TpmRh
from pefstack.hw.tpm.dictionary_attack import Guess
from pefstack.hw.tpm.hierarchies import Hierarchy
from pefstack.hw.tpm.nv import NvIndex
from pefstack.hw.tpm.pin import count_pin
from pefstack.hw.tpm.response_codes import TpmRc
from pefstack.hw.tpm.state import Internals

if TYPE_CHECKING:
    from pefstack.hw.tpm.session import Session


def guess_at(entity: Any) -> Guess:
    """What a wrong authValue of an entity counts as."""
    if isinstance(entity, Hierarchy):
        return Guess.LOCKOUT if entity.handle == TpmRh.LOCKOUT else Guess.NONE
    return Guess.PROTECTED if entity.is_da_protected else Guess.NONE


def check_locked_out(inner: Internals, guess: Guess) -> None:
    """TPM_RC_LOCKOUT while no such guess is taken."""
    if guess is Guess.NONE:
        return
    attack = inner.state.dictionary_attack
    attack.heal(inner.clock_value())
    if guess is Guess.LOCKOUT:
        attack.check_lockout()
    else:
        attack.check()


def note_good(inner: Internals, entity: Any) -> None:
    """A right authValue of this entity; a PIN index counts by itself."""
    if _is_pin(entity):
        count_pin(inner, entity, good=True)
    elif guess_at(entity) is Guess.PROTECTED:
        inner.state.dictionary_attack.used = True


def note_wrong(inner: Internals, entity: Any | None, session: Session | None) -> TpmRc:
    """Count it once, for the session or the entity, and say which code answers it.

    ``entity`` is None where its authValue took no part.
    """
    if _is_pin(entity):
        count_pin(inner, entity, good=False)
    guess = _guess(entity, session)
    if guess is Guess.NONE:
        return TpmRc.BAD_AUTH
    attack, now = inner.state.dictionary_attack, inner.clock_value()
    if guess is Guess.LOCKOUT:
        attack.fail_lockout(now)
    else:
        attack.used = True
        attack.fail(now)
    inner.state.note_change()
    return TpmRc.AUTH_FAIL


def _guess(entity: Any | None, session: Session | None) -> Guess:
    """lockoutAuth before all else; an entity's own protection, or the session's."""
    by_session = Guess.NONE if session is None else session.guesses_at
    by_entity = Guess.NONE if entity is None else guess_at(entity)
    if Guess.LOCKOUT in (by_session, by_entity):
        return Guess.LOCKOUT
    return by_entity if by_session is Guess.NONE else by_session


def _is_pin(entity: Any | None) -> TypeGuard[NvIndex]:
    return isinstance(entity, NvIndex) and entity.type in (
        TpmNt.PIN_FAIL,
        TpmNt.PIN_PASS,
    )
