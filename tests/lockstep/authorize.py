"""Which sessions a generated command gets."""

from __future__ import annotations

from typing import Final

from lockstep.dice import Dice
from lockstep.sessions import AUDIT, CONTINUE, DECRYPT, ENCRYPT, Use
from lockstep.shape import Shape
from lockstep.world import HMAC, POLICY, Session, World

_WRONG: Final = (b"wrong", b"\0", b"one", b"x" * 33, b"x" * 64, b"x" * 65)
_OFTEN: Final = 40  # a wrong password, a session too many


def uses_for(world: World, shape: Shape, handles: list[int]) -> list[Use] | None:
    """The sessions; None for a command that is sent without an area."""
    dice = world.dice
    count = dice.mostly(shape.auths, lambda: dice.randrange(5), _OFTEN)
    uses = [_use(world, handles, index) for index in range(count)]
    if dice.one_in(8 if shape.hidden or shape.shown else 40):
        extra = _further(world, shape, uses)
        if extra is not None:
            uses.append(extra)
    if not uses and not dice.one_in(60):
        return None
    return uses


def _use(world: World, handles: list[int], index: int) -> Use:
    dice = world.dice
    handle = handles[index] if index < len(handles) else 0x40000007
    thing = world.thing(handle)
    session = _session(world, index)
    plain = dice.mostly(thing.auth, lambda: dice.choice(_WRONG), _OFTEN)
    use = Use(session, _attributes(dice, session), b"", thing.auth, plain=plain)
    use.names = world.names(handle)
    if session is None:
        use.nonce = dice.mostly(b"", lambda: b"nonce", 100)
        return use
    use.nonce = dice.randbytes(dice.mostly(16, lambda: dice.randrange(70)))
    if dice.one_in(_OFTEN):
        use.auth = b"wrong"
    return use


def _session(world: World, index: int) -> Session | None:
    """A password mostly; else a session that no other handle of it has, mostly."""
    dice = world.dice
    known = list(world.sessions.values())
    if not known or dice.one_in(2) or dice.one_in(4):
        return None
    wanted = dice.choice((HMAC, POLICY))
    good = [each for each in known if each.kind == wanted] or known
    return good[(index + dice.randrange(2)) % len(good)]


def _attributes(dice: Dice, session: Session | None) -> int:
    bits = dice.mostly(CONTINUE, lambda: 0, 10)
    if session is None:
        return bits | dice.mostly(0, lambda: 1 << dice.randrange(8), 60)
    if len(session.symmetric) > 2 and dice.one_in(3):
        bits |= dice.choice((DECRYPT, ENCRYPT, DECRYPT | ENCRYPT))
    if dice.one_in(12):
        bits |= AUDIT | dice.choice((0, 0, 2, 4, 6))
    other = (8, 0x10, 0x20, 0x40, 0x80)
    return bits | dice.mostly(0, lambda: dice.choice(other), 30)


def _further(world: World, shape: Shape, taken: list[Use]) -> Use | None:
    """A session that encrypts or audits and nothing else."""
    dice = world.dice
    used = [use.session for use in taken]
    free = [each for each in world.sessions.values() if each not in used]
    if not free:
        return Use(None) if dice.one_in(8) else None
    session = dice.choice(free)
    bits = CONTINUE
    bits |= AUDIT if session.kind == HMAC and dice.one_in(2) else 0
    if len(session.symmetric) > 2:
        bits |= DECRYPT if shape.hidden and dice.one_in(2) else 0
        bits |= ENCRYPT if shape.shown and dice.one_in(2) else 0
    return Use(session, bits, dice.randbytes(16))
