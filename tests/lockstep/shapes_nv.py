"""NV, PCRs, hierarchies, clocks: commands whose every byte is determined."""

from __future__ import annotations

from typing import Final

from lockstep.dice import DIGEST_SIZE, ENDORSEMENT, LOCKOUT, OWNER, PLATFORM, Dice
from lockstep.policies import policy_for
from lockstep.shape import Done, Making, Shape
from lockstep.values import Piece, number, two_b, u8, u16, u32, u64
from lockstep.world import POLICY, TRIAL, Thing, World

_RIGHTS: Final = 0x000F_000F
_LOCKS: Final = (1 << 12, 1 << 13, 1 << 14, 1 << 15, 1 << 25, 1 << 26, 1 << 27, 1 << 31)


def platform(world: World) -> int:
    """The platform."""
    return world.hierarchy(PLATFORM, PLATFORM, PLATFORM, OWNER)


def any_hierarchy(world: World) -> int:
    """A hierarchy with an authValue."""
    return world.hierarchy(OWNER, PLATFORM, ENDORSEMENT, LOCKOUT)


def _attributes(dice: Dice, auth_handle: int) -> int:
    kind = dice.mostly(
        dice.choice((0, 0, 0, 1, 2, 4, 8, 9)), lambda: dice.randrange(16)
    )
    bits = dice.mostly(_RIGHTS, lambda: dice.getrandbits(32) & _RIGHTS, 3)
    if kind in (8, 9):
        bits &= ~4
    if dice.one_in(2):
        bits |= 1 << 25
    if auth_handle == PLATFORM:
        bits |= 1 << 30
    for _ in range(dice.randrange(4)):
        bits |= dice.choice(_LOCKS)
    flip = dice.mostly(0, lambda: 1 << dice.randrange(32), 8)
    if dice.one_in(8):
        bits |= 1 << 10
    return (bits | kind << 4) ^ flip


def _define(m: Making) -> list[Piece]:
    dice = m.dice
    alg = dice.hash()
    attributes = _attributes(dice, m.handles[0])
    kind = attributes >> 4 & 15
    right = {1: 8, 2: 8, 8: 8, 9: 8, 4: DIGEST_SIZE.get(alg, 32)}
    size = dice.mostly(right.get(kind, dice.randrange(40)), lambda: dice.size(2048), 6)
    policy = policy_for(dice, alg)
    body = u32(m.world.new_index()) + u16(alg) + u32(attributes)
    body += dice.mostly(two_b(policy), lambda: dice.digest(alg), 10) + u16(size)
    wrong = dice.choice((0, len(body) - 1, len(body) + 1))
    public = dice.mostly(two_b(body), lambda: u16(wrong) + body, 40)
    return [dice.auth(), public]


def _defined(world: World, done: Done) -> None:
    params = done.params[0]
    size = number(params[:2])
    at = 2 + size + 2
    index = number(params[at : at + 4])
    auth = params[2 : 2 + size].rstrip(b"\0")
    world.nv[index] = Thing(index, "nv", auth)


def _undefined(world: World, done: Done) -> None:
    for handle in done.handles:
        world.nv.pop(handle, None)


def _changed_auth(world: World, done: Done) -> None:
    params = done.params[0]
    thing = world.thing(done.handles[0])
    thing.auth = params[2 : 2 + number(params[:2])].rstrip(b"\0")


def _write(m: Making) -> list[Piece]:
    dice = m.dice
    data = dice.mostly(
        two_b(dice.randbytes(dice.choice((0, 1, 4, 8, 8, 20)))),
        lambda: dice.sized(1024),
    )
    offset = dice.mostly(0, lambda: dice.choice((1, 4, 8, 2047, 0xFFFF)), 4)
    return [data, u16(offset)]


def _read(m: Making) -> list[Piece]:
    dice = m.dice
    size = dice.mostly(dice.choice((0, 1, 4, 8, 8)), lambda: dice.size(1024), 4)
    offset = dice.mostly(0, lambda: dice.choice((1, 4, 8, 2047, 0xFFFF)), 4)
    return [u16(size), u16(offset)]


def _event(m: Making) -> list[Piece]:
    return [m.dice.sized(1024)]


def _policy(m: Making) -> list[Piece]:
    dice = m.dice
    if dice.one_in(4):
        return [two_b(b"") + u16(0x10)]
    alg = dice.hash()
    return [
        dice.mostly(two_b(policy_for(dice, alg)), lambda: dice.digest(alg)),
        u16(alg),
    ]


def _control(m: Making) -> list[Piece]:
    dice = m.dice
    which = dice.choice((OWNER, ENDORSEMENT, PLATFORM, 0x4000000D, dice.any_handle()))
    return [u32(which), dice.choice((b"\1", b"\1", dice.yes_no()))]


def _tries(m: Making) -> list[Piece]:
    dice = m.dice
    values = (0, 1000, 0xFFFFFFFF)
    tries = dice.choice((3, 31, 32, 200, 0xFFFFFFFF, 0))
    return [u32(tries), u32(dice.choice(values)), u32(dice.choice(values))]


def _codes(m: Making) -> list[Piece]:
    dice = m.dice
    codes = [
        dice.choice((0x120, 0x131, 0x145, 0x17B, 0x182, 0x153, dice.randrange(0x200)))
        for _ in range(dice.randrange(3))
    ]
    return [u32(len(codes)) + b"".join(map(u32, codes))]


def _audited(m: Making) -> list[Piece]:
    alg = m.dice.choice((0x10, 0x0B, 0x0B, m.dice.hash()))
    return [u16(alg), *_codes(m), *_codes(m)]


def _clock(m: Making) -> list[Piece]:
    return [u64(m.dice.choice((1 << 40, 1 << 41, 1 << 63, (1 << 64) - 1)))]


def _pcr_policy(m: Making) -> list[Piece]:
    wrong = m.dice.choice((0, 16, 24, 0xFFFFFFFF))
    pcr = m.dice.mostly(m.dice.choice((20, 21, 22)), lambda: wrong, 6)
    return [*_policy(m), u32(pcr)]


def _rate(m: Making) -> list[Piece]:
    return [u8(m.dice.choice((0, 1, 2, 3, 4, 0xFD, 0xFC, 0x80)))]


def _new_auth(m: Making) -> list[Piece]:
    return [m.dice.auth()]


def _yes_no(m: Making) -> list[Piece]:
    return [m.dice.yes_no()]


def _extend(m: Making) -> list[Piece]:
    return [m.dice.digest_values()]


def _allocation(m: Making) -> list[Piece]:
    return [m.dice.selection()]


def _bits(m: Making) -> list[Piece]:
    return [u64(m.dice.getrandbits(64) & m.dice.getrandbits(64))]


def _compared(m: Making) -> list[Piece]:
    """operandB, offset, operation."""
    dice = m.dice
    some = two_b(dice.choice((b"", bytes(8), b"\1")))
    operand = dice.mostly(some, lambda: dice.sized(64))
    offset = dice.mostly(0, lambda: dice.choice((1, 8, 0xFFFF)), 5)
    return [operand, u16(offset), u16(dice.mostly(dice.randrange(12), lambda: 12, 10))]


def policy_session(world: World) -> int:
    """A policy or a trial session."""
    return world.session(POLICY, TRIAL)


_index = World.index
_nv = (World.either_keeper, _index)

SHAPES: Final = (
    Shape(0x12A, (World.keeper,), 1, _define, learn=_defined, weight=12, hidden=True),
    Shape(0x122, (World.keeper, _index), 1, learn=_undefined, weight=2),
    Shape(0x11F, (_index, platform), 2, learn=_undefined, weight=3),
    Shape(0x132, (World.keeper,), 1, weight=1),
    Shape(0x134, _nv, 1, weight=4),
    Shape(0x135, _nv, 1, _bits, weight=4),
    Shape(0x136, _nv, 1, _event, weight=4, hidden=True),
    Shape(0x137, _nv, 1, _write, weight=10, hidden=True),
    Shape(0x138, _nv, 1, weight=2),
    Shape(0x14E, _nv, 1, _read, "B", weight=8, shown=True),
    Shape(0x14F, _nv, 1, weight=2),
    Shape(0x169, (_index,), 0, results="BB", weight=6, shown=True),
    Shape(0x13B, (_index,), 1, _new_auth, learn=_changed_auth, hidden=True),
    Shape(0x149, (*_nv, policy_session), 1, _compared, hidden=True),
    Shape(0x192, (*_nv, policy_session), 1, weight=2),
    Shape(0x121, (any_hierarchy,), 1, _control, weight=2),
    Shape(0x124, (platform,), 1, weight=1),
    Shape(0x125, (platform,), 1, weight=1),
    Shape(0x126, (any_hierarchy,), 1, weight=1),
    Shape(0x127, (any_hierarchy,), 1, _yes_no, weight=1),
    Shape(0x128, (World.keeper,), 1, _clock, weight=1),
    Shape(0x129, (any_hierarchy,), 1, _new_auth, learn=_changed_auth, hidden=True),
    Shape(0x12B, (platform,), 1, _allocation, "R", weight=2),
    Shape(0x12C, (platform,), 1, _pcr_policy, hidden=True, weight=2),
    Shape(0x12D, (platform,), 1, lambda m: [*_codes(m), *_codes(m)], weight=1),
    Shape(0x12E, (any_hierarchy,), 1, _policy, hidden=True, weight=3),
    Shape(0x130, (World.keeper,), 1, _rate, weight=1),
    Shape(0x139, (any_hierarchy,), 1, weight=4),
    Shape(0x13A, (any_hierarchy,), 1, _tries, weight=2),
    Shape(0x13C, (World.pcr,), 1, _event, "R", weight=4),
    Shape(0x13D, (World.pcr,), 1, weight=4),
    Shape(0x13F, (platform,), 1, lambda m: [u32(m.dice.randrange(3))], weight=1),
    Shape(0x140, (World.keeper,), 1, _audited, weight=2),
    Shape(0x182, (World.pcr,), 1, _extend, weight=8),
    Shape(0x183, (World.pcr,), 1, _new_auth, learn=_changed_auth, hidden=True),
)
