"""Questions about the TPM, chance, tests, and its own start."""

from __future__ import annotations

from typing import Final

from lockstep.dice import ALGORITHMS
from lockstep.shape import Making, Shape
from lockstep.templates import template
from lockstep.values import Piece, u16, u32

_FIRST: Final = {
    0: (0, 1, 6, 0x25, 0x44, 0xFFFF),
    1: (
        *(0, 0x01000000, 0x02000000, 0x03000000, 0x40000000, 0x80000000, 0x81000000),
        *(0x01000003, 0x02000001, 0x40000009, 0x80000001, 0x81800000, 0x82000000),
    ),
    2: (0, 0x11F, 0x150, 0x193, 0x200, 0x20000000),
    3: (0, 0x11F, 0x150),
    4: (0, 0x11F, 0x150),
    5: (0, 0, 0, 1),
    6: (0x200, 0x201, 0x200, 0x20B, 0x100, 0x120, 0x12F, 0x207, 0x300),
    7: (0, 1, 0x10, 0x13, 0x20),
    8: (0, 3, 4, 5, 0x10),
    9: (0, 0x40000001, 0x40000009),
    10: (0, 0x40000110),
}


def _capability(m: Making) -> list[Piece]:
    dice = m.dice
    which = dice.mostly(dice.randrange(11), lambda: dice.choice((11, 0x100, 0x101)))
    first = dice.choice(_FIRST.get(which, (0,)))
    count = dice.choice((1, 1, 2, 8, 64, 254, 255, 0, 0xFFFFFFFF))
    return [u32(which), u32(first), u32(count)]


def _random(m: Making) -> list[Piece]:
    return [u16(m.dice.mostly(m.dice.randrange(64), lambda: 0xFFFF))]


def _stir(m: Making) -> list[Piece]:
    return [m.dice.sized(128)]


def _test(m: Making) -> list[Piece]:
    return [m.dice.yes_no()]


def _tests(m: Making) -> list[Piece]:
    count = m.dice.mostly(m.dice.randrange(4), lambda: m.dice.choice((64, 65)), 20)
    items = b"".join(u16(m.dice.choice(ALGORITHMS)) for _ in range(count))
    return [u32(count), items]


def _parms(m: Making) -> list[Piece]:
    raw = template(m.dice)[1]
    policy = int.from_bytes(raw[8:10], "big")
    return [raw[:2], raw[10 + policy : -2]]


def _selected(m: Making) -> list[Piece]:
    return [m.dice.selection()]


def _state(m: Making) -> list[Piece]:
    return [u16(m.dice.mostly(m.dice.randrange(2), lambda: 2, 10))]


SHAPES: Final = (
    Shape(0x17A, (), 0, _capability, "G", weight=16),
    Shape(0x17B, (), 0, _random, "l", weight=2, shown=True),
    Shape(0x146, (), 0, _stir, weight=2, hidden=True),
    Shape(0x143, (), 0, _test, weight=1),
    Shape(0x142, (), 0, _tests, "r", weight=1),
    Shape(0x17C, (), 0, results="R", weight=1),
    Shape(0x18A, (), 0, _parms, weight=4),
    Shape(0x17E, (), 0, _selected, "R", weight=10),
    Shape(0x181, (), 0, results="K", weight=2),
    Shape(0x144, (), 0, _state, weight=1),
    Shape(0x145, (), 0, _state, weight=2),
)
