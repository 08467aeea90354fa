"""Keys at work: signatures, attestations, ciphers, hashes, points."""

from __future__ import annotations

from typing import Final

from lockstep.dice import ENDORSEMENT, NULL, Dice
from lockstep.shape import Done, Making, Shape
from lockstep.values import Piece, number, two_b, two_b_each, u16, u32
from lockstep.world import HMAC, Kept, Thing, World
from tpm_key_kit import N, ecc_areas

_NO_TICKET: Final = "400000070000"
_SIGNERS: Final = ("rsa", "ecc", "hmac", "sign", "attest", "free ecc")


def _signer(world: World) -> int:
    if world.dice.one_in(6):
        return NULL
    return world.object(*_SIGNERS)


def _key(world: World) -> int:
    return world.object(*_SIGNERS)


def _rsa(world: World) -> int:
    return world.object("rsa")


def _ecc(world: World) -> int:
    return world.object("ecc", "decrypt", "free ecc")


def _aes(world: World) -> int:
    return world.object("aes")


def _hmac(world: World) -> int:
    return world.object("hmac")


def _sequence(world: World) -> int:
    return world.object("sequence", "sequence", "event sequence")


def _events(world: World) -> int:
    return world.object("event sequence")


def _endorsement(world: World) -> int:
    return world.hierarchy(ENDORSEMENT)


def _audited(world: World) -> int:
    return world.session(HMAC)


def _qualifying(m: Making) -> bytes:
    return m.dice.mostly(two_b(b"outside"), lambda: m.dice.sized(66))


def _attesting(m: Making) -> list[Piece]:
    return [_qualifying(m), m.dice.scheme()]


def _creation(m: Making) -> list[Piece]:
    kept = m.world.kept("creation")
    head = _qualifying(m)
    if kept is None:
        return [
            head,
            m.dice.digest(),
            m.dice.scheme(),
            bytes.fromhex("8021" + _NO_TICKET),
        ]
    for handle, thing in m.world.objects.items():
        if thing.names == kept.about[1]:
            m.handles[1] = handle
    return [head, two_b_each(kept.about[0]), m.dice.scheme(), kept.values]


def _quote(m: Making) -> list[Piece]:
    return [*_attesting(m), m.dice.selection()]


def _part(m: Making) -> list[Piece]:
    offset = m.dice.choice((0, 0, 0, 1, 8, 0xFFFF))
    return [*_attesting(m), u16(m.dice.choice((0, 1, 8, 8, 1024))), u16(offset)]


def _sign(m: Making) -> list[Piece]:
    dice = m.dice
    kept = m.world.kept("hashed")
    if kept is not None and dice.one_in(2):
        return [two_b_each(kept.about[0]), dice.scheme(), kept.values]
    ticket = bytes.fromhex(dice.mostly("8024", lambda: "8022") + _NO_TICKET)
    return [dice.digest(), dice.scheme(), ticket]


def _signed(world: World, done: Done) -> None:
    size = 2 + number(done.params[0][:2])
    digests = tuple(each[2:size] for each in done.params)
    world.keep("signature", Kept(done.fields[0], (digests, done.names[0])))


def _verify(m: Making) -> list[Piece]:
    kept = m.world.kept("signature")
    if kept is None:
        return [m.dice.digest(), bytes.fromhex("0014000b0000")]
    for handle, thing in m.world.objects.items():
        if thing.names == kept.about[1] and not m.dice.one_in(6):
            m.handles[0] = handle
    return [two_b_each(kept.about[0]), kept.values]


def _verified(world: World, done: Done) -> None:
    world.keep("verified", Kept(done.fields[0], (done.names[0],)))


def _hash(m: Making) -> list[Piece]:
    return [m.dice.sized(1024), u16(m.dice.hash()), u32(m.dice.hierarchy())]


def _hashed(world: World, done: Done) -> None:
    world.keep("hashed", Kept(done.fields[1], (done.fields[0],)))


def _hmac_of(m: Making) -> list[Piece]:
    return [m.dice.sized(1024), u16(m.dice.choice((0x10, 0x0B, m.dice.hash())))]


def _begin(m: Making) -> list[Piece]:
    return [m.dice.auth(), u16(m.dice.choice((0x10, 0x0B, m.dice.hash())))]


def _begun(world: World, done: Done) -> None:
    params = done.params[0]
    auth = params[2 : 2 + number(params[:2])].rstrip(b"\0")
    is_events = not done.handles and params[-2:] == b"\0\x10"
    same = world.determined(done.handles)
    empty = (b"",) * world.sides
    kind = "event sequence" if is_events else "sequence"
    world.objects[done.made] = Thing(done.made, kind, auth, empty, same)


def _more(m: Making) -> list[Piece]:
    return [m.dice.sized(1024)]


def _last(m: Making) -> list[Piece]:
    return [m.dice.sized(1024), u32(m.dice.hierarchy())]


def _ended(world: World, done: Done) -> None:
    world.objects.pop(done.handles[-1], None)


def _sequence_ended(world: World, done: Done) -> None:
    _hashed(world, done)
    _ended(world, done)


def _number(dice: Dice) -> bytes:
    small = dice.choice((b"", b"message", bytes(300), b"\xff" * 256))
    big = (N - 1 - dice.randrange(3)).to_bytes(256, "big")
    return two_b(dice.choice((big, dice.randbytes(256), small, dice.randbytes(10))))


def _rsa_block(m: Making) -> list[Piece]:
    dice = m.dice
    scheme = bytes.fromhex(
        dice.choice(("0010", "0010", "0015", "0017000b", "0014000b"))
    )
    label = dice.mostly(
        two_b(b""), lambda: two_b(dice.choice((b"label\0", b"label"))), 4
    )
    kept = m.world.kept("rsa")
    message: Piece = _number(dice) if kept is None else two_b_each(kept.values)
    return [message, scheme, label]


def _rsa_kept(world: World, done: Done) -> None:
    world.keep("rsa", Kept(done.fields[0]))


def _cipher(dice: Dice) -> tuple[bytes, bytes, bytes, bytes]:
    """Data, decrypt, mode, IV."""
    data = two_b(dice.randbytes(dice.choice((0, 16, 32, 17, 5, 1024, 1025))))
    mode = u16(dice.choice((0x10, 0x10, 0x40, 0x41, 0x42, 0x43, 0x44, 0x45)))
    iv = two_b(dice.randbytes(dice.choice((16, 16, 16, 0, 15, 17))))
    return data, dice.yes_no(), mode, iv


def _encrypt(m: Making) -> list[Piece]:
    data, decrypt, mode, iv = _cipher(m.dice)
    return [decrypt, mode, iv, data]


def _encrypt2(m: Making) -> list[Piece]:
    return list(_cipher(m.dice))


def _point(dice: Dice) -> bytes:
    """TPM2B_ECC_POINT: on the curve, mostly."""
    at = ecc_areas(curve=dice.mostly(3, lambda: 4, 6))[0]
    good = at[-68:]
    bad = dice.choice((bytes(4), two_b(b"\1" * 32) * 2, good[:-1] + b"\0", good[:20]))
    return two_b(dice.mostly(good, lambda: bad, 4))


def _one_point(m: Making) -> list[Piece]:
    return [_point(m.dice)]


def _curve(m: Making) -> list[Piece]:
    return [u16(m.dice.choice((3, 3, 4, 5, 0, 6)))]


def _commit(m: Making) -> list[Piece]:
    dice = m.dice
    point = dice.mostly(u16(4) + bytes(4), lambda: _point(dice), 2)
    s2 = dice.choice((b"", b"", b"seed"))
    return [point, two_b(s2), two_b(dice.choice((b"", b"", b"\5")))]


def _two_phase(m: Making) -> list[Piece]:
    dice = m.dice
    scheme = u16(dice.choice((0x19, 0x19, 0x1D, 0x18)))
    return [_point(dice), _point(dice), scheme, u16(dice.randrange(3))]


_nv: Final = (World.either_keeper, World.index)

SHAPES: Final = (
    Shape(
        0x148,
        (World.anything, _signer),
        2,
        _attesting,
        "AS",
        False,
        None,
        4,
        True,
        True,
    ),
    Shape(
        0x14A, (_signer, World.anything), 1, _creation, "AS", False, None, 3, True, True
    ),
    Shape(0x158, (_signer,), 1, _quote, "AS", False, None, 5, True, True),
    Shape(
        0x14C, (_endorsement, _signer), 2, _attesting, "AS", False, None, 3, True, True
    ),
    Shape(0x184, (_signer, *_nv), 2, _part, "AS", False, None, 4, True, True),
    Shape(
        0x14D,
        (_endorsement, _signer, _audited),
        2,
        _attesting,
        "AS",
        False,
        None,
        2,
        True,
        True,
    ),
    Shape(
        0x133, (_endorsement, _signer), 2, _attesting, "AS", False, None, 2, True, True
    ),
    Shape(0x15D, (_key,), 1, _sign, "S", False, _signed, 8, True),
    Shape(0x177, (_key,), 0, _verify, "T", False, _verified, 6, True),
    Shape(0x17D, (), 0, _hash, "BT", False, _hashed, 5, True, True),
    Shape(0x155, (_hmac,), 1, _hmac_of, "d", False, None, 5, True, True),
    Shape(0x15B, (_hmac,), 1, _begin, "", True, _begun, 4, True),
    Shape(0x186, (), 0, _begin, "", True, _begun, 5, True),
    Shape(0x15C, (_sequence,), 1, _more, weight=5, hidden=True),
    Shape(0x13E, (_sequence,), 1, _last, "dT", False, _sequence_ended, 4, True, True),
    Shape(0x185, (World.pcr, _events), 2, _more, "R", False, _ended, 4, True),
    Shape(0x159, (_rsa,), 1, _rsa_block, "d", False, None, 5, True, True),
    Shape(0x174, (_rsa,), 0, _rsa_block, "l", False, _rsa_kept, 5, True, True),
    Shape(0x164, (_aes,), 1, _encrypt, "dd", False, None, 5, False, True),
    Shape(0x193, (_aes,), 1, _encrypt2, "dd", False, None, 5, True, True),
    Shape(0x154, (_ecc,), 1, _one_point, "d", False, None, 3, True, True),
    Shape(0x163, (_ecc,), 0, results="ll", shown=True, weight=3),
    Shape(0x178, (), 0, _curve, "R", weight=2),
    Shape(0x18B, (_ecc,), 1, _commit, "lll2", False, None, 3, True, True),
    Shape(0x18D, (_ecc,), 1, _two_phase, "ll", False, None, 2, True, True),
    Shape(0x18E, (), 0, _curve, "l2", weight=2, shown=True),
)
