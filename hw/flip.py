"""Single bits to turn over in a finished content: the plainest fault there is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pefstack.hw.mapping import SettingError, check_range

MAX_OFFSET: Final = 1 << 28


@dataclass(frozen=True, slots=True, kw_only=True)
class FlipSpec:
    """One bit to flip in a finished content, counted from its start (0: lowest bit)."""

    offset: int
    bit: int = 0

    def __post_init__(self) -> None:
        check_range("offset", self.offset, MAX_OFFSET)
        check_range("bit", self.bit, 7)


def flipped(raw: bytes, flips: tuple[FlipSpec, ...], label: str) -> bytes:
    """The bytes with single bits turned over."""
    changed = bytearray(raw)
    for each in flips:
        if each.offset >= len(changed):
            found, expected = f"0x{each.offset:x}", f"less than 0x{len(changed):x}"
            raise SettingError(f"{label}.flip", f"found {found}, expected {expected}")
        changed[each.offset] ^= 1 << each.bit
    return bytes(changed)
