"""Where the reference may differ: what accepted.txt lists, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from lockstep.values import number

FILE: Final = Path(__file__).with_name("accepted.txt")
_ROWS: Final = [
    line.partition(" : ")[0].split()
    for line in FILE.read_text(encoding="utf-8").splitlines()
]


def _of(kind: str) -> frozenset[int]:
    words = [row[1:] for row in _ROWS if row[0] == kind]
    return frozenset(int(word, 16) for row in words for word in row)


# code of the command or *, our response code, the other
_CODES: Final = {
    tuple(each.replace("/", ":").split(":"))
    for row in _ROWS
    if row[0] == "codes"
    for each in row[1:]
}
_PROPERTIES: Final = _of("properties")
# capability: size of an item, items that only the reference has
_LEFT_OUT: Final = {
    0: (6, _of("algorithms")),
    2: (4, _of("commands")),
    8: (2, _of("curves")),
}


def accepted(code: int, codes: list[int]) -> bool:
    """Whether these response codes, ours first, may differ."""
    pair = tuple(f"{each:03x}" for each in codes)
    return ("*", *pair) in _CODES or (f"{code:x}", *pair) in _CODES


def capability(each: tuple[bytes, ...]) -> list[object]:
    """What must be the same of the answers to GetCapability."""
    kind = number(each[0][1:5])
    if kind == 6:
        return [_properties(raw) for raw in each]
    if kind not in _LEFT_OUT:
        return list(each)
    size, left_out = _LEFT_OUT[kind]
    lists = [_items(raw[9:], size, left_out) for raw in each]
    shortest = min(map(len, lists))  # a page with less of ours has more of it
    return [items[:shortest] for items in lists]


def _items(raw: bytes, size: int, left_out: frozenset[int]) -> list[bytes]:
    items = [raw[at : at + size] for at in range(0, len(raw), size)]
    at = size - 2 if size == 4 else 0  # TPMA_CC ends with the command's number
    return [each for each in items if number(each[at : at + 2]) not in left_out]


def _properties(raw: bytes) -> dict[int, int]:
    found = {-1: raw[0]}
    for at in range(9, len(raw), 8):
        found[number(raw[at : at + 4])] = number(raw[at + 4 : at + 8])
    return {t: value for t, value in found.items() if t not in _PROPERTIES}
