"""Good commands made bad: cut, longer, a bit flipped, sizes, tags and handles wrong."""

from __future__ import annotations

from typing import Final

from lockstep.dice import ALGORITHMS, Dice
from lockstep.values import Each, number, u8, u16, u32

_SIZE_AT: Final = 2
HEADER: Final = 10


def sized(raw: bytes) -> bytes:
    """With the right size in the header."""
    return raw[:_SIZE_AT] + u32(len(raw)) + raw[_SIZE_AT + 4 :]


def mutated(dice: Dice, each: Each) -> Each:
    """The same change to the command for every TPM."""
    change = dice.choice(_CHANGES)
    state = dice.getstate()
    found = []
    for raw in each:
        dice.setstate(state)
        found.append(change(dice, raw))
    return tuple(found)


def _place(dice: Dice, raw: bytes) -> int:
    """Often in the handles, the sessions, the first parameters."""
    first = min(HEADER + dice.randrange(40), len(raw) - 1)
    anywhere = int(dice.random() * len(raw))
    return dice.choice((first, first, anywhere))


def _cut(dice: Dice, raw: bytes) -> bytes:
    keep = dice.choice((len(raw) - 1, len(raw) - 2, int(dice.random() * len(raw))))
    return sized(raw[: max(HEADER, keep)])


def _cut_inside(dice: Dice, raw: bytes) -> bytes:
    at = max(HEADER, _place(dice, raw))
    return sized(raw[:at] + raw[at + dice.choice((1, 2, 4)) :])


def _longer(dice: Dice, raw: bytes) -> bytes:
    more = dice.choice((b"\0", b"\0\0", b"\xff", bytes(10), bytes(3000)))
    return sized((raw + more)[:4096])


def _longer_inside(dice: Dice, raw: bytes) -> bytes:
    at = max(HEADER, _place(dice, raw))
    return sized(raw[:at] + dice.choice((b"\0", b"\0\x10", b"\0\0\0\0")) + raw[at:])


def _flip(dice: Dice, raw: bytes) -> bytes:
    at = max(HEADER, _place(dice, raw))
    bit = 1 << dice.randrange(8)
    if at >= len(raw):
        return raw
    return raw[:at] + u8(raw[at] ^ bit) + raw[at + 1 :]


def _word(dice: Dice, raw: bytes) -> bytes:
    """Two bytes at a limit: a length, an algorithm."""
    at = max(HEADER, _place(dice, raw))
    values = (0, 1, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, dice.choice(ALGORITHMS))
    value = u16(dice.choice(values))
    return sized((raw[:at] + value + raw[at + 2 :])[: max(len(raw), HEADER)])


def _header_size(dice: Dice, raw: bytes) -> bytes:
    wrong = dice.choice((0, 9, 10, len(raw) - 1, len(raw) + 1, 4096, 4097, 0xFFFFFFFF))
    return raw[:2] + u32(wrong) + raw[6:]


def _tag(dice: Dice, raw: bytes) -> bytes:
    tags = (0x8001, 0x8002, 0x8001, 0x8002, 0x8000, 0x00C1, 0, 0x8003, 0xFFFF)
    return u16(dice.choice(tags)) + raw[2:]


def _code(dice: Dice, raw: bytes) -> bytes:
    codes = (0x11E, 0x11F, 0x12F, 0x196, 0x1A0, 0, 0x20000000, 0xFFFFFFFF)
    near = number(raw[6:10]) + dice.choice((-1, 1))
    return raw[:6] + u32(dice.choice((*codes, near, near, near))) + raw[10:]


def _handle(dice: Dice, raw: bytes) -> bytes:
    at = HEADER + 4 * dice.randrange(3)
    if at + 4 > len(raw):
        return raw
    return raw[:at] + u32(dice.any_handle()) + raw[at + 4 :]


_CHANGES: Final = (
    *(_cut, _cut_inside, _longer, _longer_inside, _flip, _flip, _flip),
    *(_word, _word, _header_size, _tag, _code, _handle, _handle),
)
