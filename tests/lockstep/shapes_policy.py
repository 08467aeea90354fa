"""Sessions and policies."""

from __future__ import annotations

from typing import Final

from lockstep.dice import ENDORSEMENT, LOCKOUT, NULL, OWNER, PLATFORM, Dice
from lockstep.policies import RECIPES
from lockstep.sessions import session_key
from lockstep.shape import Done, Making, Shape
from lockstep.shapes_nv import policy_session
from lockstep.values import Piece, alike, number, two_b, two_b_each, u8, u16, u32
from lockstep.world import Session, World
from tpm_client_kit import hash_of


def _key(world: World) -> int:
    """Not salted: what a salt comes to, tests of their own see."""
    return world.dice.mostly(NULL, world.object, 12)


def entity(world: World) -> int:
    """Anything with an authValue."""
    dice = world.dice
    permanent = dice.choice((OWNER, PLATFORM, ENDORSEMENT, LOCKOUT))
    some = (permanent, world.index(), world.object(), world.pcr())
    return dice.choice(some)


def _bind(world: World) -> int:
    return NULL if world.dice.one_in(2) else entity(world)


def _start(m: Making) -> list[Piece]:
    dice = m.dice
    nonce = dice.mostly(
        dice.randbytes(dice.choice((16, 20, 32))),
        lambda: dice.randbytes(dice.randrange(70)),
    )
    salt = dice.mostly(two_b(b""), lambda: dice.sized(256), 12)
    kind = dice.mostly(dice.choice((0, 0, 1, 1, 3)), lambda: dice.randrange(256), 20)
    return [two_b(nonce), salt, u8(kind), dice.symmetric(), u16(dice.hash())]


def _started(world: World, done: Done) -> None:
    params = done.params[0]
    size = number(params[:2])
    nonce, rest = params[2 : 2 + size], params[2 + size :]
    rest = rest[2 + number(rest[:2]) :]
    alg = number(rest[-2:])
    keys, bound = (b"",) * world.sides, None
    if done.handles[1] != NULL:
        auth = world.thing(done.handles[1]).auth
        keys = tuple(session_key(alg, auth, b"", own, nonce) for own in done.fields[0])
        bound = (done.names[1], auth)
    world.sessions[done.made] = Session(
        done.made, rest[0], alg, keys, done.fields[0], rest[1:-2], bound
    )


def _learn(world: World, done: Done) -> None:
    session = world.sessions.get(done.handles[-1])
    if session is None:
        return
    if not alike(done.params) or not all(map(alike, done.names)):
        session.determined = False
    if done.code in (0x16B, 0x18C):
        session.needs_auth = done.code == 0x16B
        session.needs_password = done.code == 0x18C


def _restarted(world: World, done: Done) -> None:
    session = world.sessions.get(done.handles[0])
    if session is not None:
        session.needs_auth = session.needs_password = False
        session.determined = True


def _pcr(m: Making) -> list[Piece]:
    dice = m.dice
    return [dice.mostly(two_b(b""), lambda: dice.digest(), 4), dice.selection()]


def _branches(m: Making) -> list[Piece]:
    dice = m.dice
    session = m.world.sessions.get(m.handles[0])
    alg = session.alg if session else 0x0B
    count = dice.mostly(dice.randrange(2, 5), lambda: dice.choice((0, 1, 8, 9)))
    zeros = two_b(bytes(len(hash_of(alg))))
    items: list[Piece] = [dice.choice((zeros, dice.digest(alg))) for _ in range(count)]
    known = m.world.bag.get("policy", [])
    if known and items:
        items[0] = two_b_each(dice.choice(known).values)
    return [u32(count), *items]


def _digest(m: Making) -> list[Piece]:
    session = m.world.sessions.get(m.handles[0])
    return [m.dice.digest(session.alg if session else 0x0B)]


def _byte(m: Making) -> list[Piece]:
    return [u8(m.dice.choice((0, 1, 2, 4, 8, 16, 31, 32, 33, 255)))]


def _yes_no(m: Making) -> list[Piece]:
    return [m.dice.yes_no()]


def _code(m: Making) -> list[Piece]:
    codes = [number(params) for code, params in RECIPES if code == 0x16C]
    return [u32(m.dice.choice((*codes, 0x17B, 0x9999)))]


def _timer(m: Making) -> list[Piece]:
    """resetCount and restartCount are determined; time is not."""
    dice = m.dice
    operand = two_b(u32(dice.randrange(3)))
    offset = dice.choice((16, 16, 20, 20, 22, 25, 0xFFFF))
    return [
        dice.mostly(operand, lambda: dice.sized(64)),
        u16(offset),
        u16(dice.randrange(13)),
    ]


def _expiration(dice: Dice) -> bytes:
    return u32(dice.choice((0, 0, 0, 100_000, -100_000, -(1 << 31))))


def _nonce(m: Making) -> Piece:
    session = m.world.sessions.get(m.handles[-1])
    if session is None or m.dice.one_in(2):
        return m.dice.mostly(two_b(b""), lambda: m.dice.sized(64), 12)
    return two_b_each(session.nonces)


def _cp_hash(m: Making) -> bytes:
    session = m.world.sessions.get(m.handles[-1])
    alg = session.alg if session else 0x0B
    return m.dice.mostly(two_b(b""), lambda: m.dice.digest(alg), 6)


def _ref(m: Making) -> bytes:
    return m.dice.mostly(two_b(b""), lambda: m.dice.sized(64), 3)


def _secret(m: Making) -> list[Piece]:
    return [_nonce(m), _cp_hash(m), _ref(m), _expiration(m.dice)]


def _signed(m: Making) -> list[Piece]:
    kept = m.world.kept("signature")
    signature: Piece = kept.values if kept else bytes.fromhex("0014000b0000")
    return [*_secret(m), signature]


def _ticket(m: Making) -> list[Piece]:
    kept = m.world.kept("auth ticket")
    if kept is None:
        return [
            two_b(b""),
            two_b(b""),
            two_b(b""),
            two_b(b""),
            bytes.fromhex("8023400000070000"),
        ]
    return [
        two_b_each(kept.about[0]),
        _cp_hash(m),
        _ref(m),
        m.dice.sized(64),
        kept.values,
    ]


def _authorize(m: Making) -> list[Piece]:
    names = m.world.names(m.world.object())
    kept = m.world.kept("verified")
    ticket: Piece = kept.values if kept else bytes.fromhex("8022400000070000")
    return [_digest(m)[0], _ref(m), two_b_each(names), ticket]


def _duplication(m: Making) -> list[Piece]:
    names = [m.world.names(m.world.object()) for _ in range(2)]
    return [*map(two_b_each, names), m.dice.yes_no()]


def _known_digest(world: World, done: Done) -> None:
    world.keep_value("policy", done.fields[0])


_session = (policy_session,)

SHAPES: Final = (
    Shape(0x176, (_key, _bind), 0, _start, "l", True, _started, 14),
    Shape(0x180, _session, 0, learn=_restarted, weight=3),
    Shape(0x17F, _session, 0, _pcr, learn=_learn, hidden=True),
    Shape(0x16B, _session, 0, learn=_learn),
    Shape(0x18C, _session, 0, learn=_learn),
    Shape(0x16C, _session, 0, _code, learn=_learn),
    Shape(0x16D, _session, 0, _timer, learn=_learn, hidden=True),
    Shape(0x16E, _session, 0, _digest, learn=_learn, hidden=True),
    Shape(0x170, _session, 0, _digest, learn=_learn, hidden=True),
    Shape(0x190, _session, 0, _digest, learn=_learn, hidden=True),
    Shape(0x16F, _session, 0, _byte, learn=_learn),
    Shape(0x187, _session, 0, learn=_learn, weight=1),
    Shape(0x18F, _session, 0, _yes_no, learn=_learn),
    Shape(0x171, _session, 0, _branches, learn=_learn),
    Shape(
        0x151,
        (entity, policy_session),
        1,
        _secret,
        "bT",
        learn=_learn,
        hidden=True,
        shown=True,
        weight=6,
    ),
    Shape(
        0x160,
        (World.anything, policy_session),
        0,
        _signed,
        "bT",
        learn=_learn,
        hidden=True,
        shown=True,
    ),
    Shape(0x172, _session, 0, _ticket, learn=_learn, hidden=True, weight=2),
    Shape(0x16A, _session, 0, _authorize, learn=_learn, hidden=True, weight=3),
    Shape(0x188, _session, 0, _duplication, learn=_learn, hidden=True, weight=3),
    Shape(0x189, _session, 0, results="P", learn=_known_digest, shown=True, weight=10),
)
