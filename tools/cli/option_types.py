"""Numbers and hex digits on the command line, with bounds."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import Final

_NUMBER: Final = re.compile(r"[0-9]{1,20}|0[xX][0-9A-Fa-f]{1,16}")


def number(allowed: range) -> Callable[[str], int]:
    """For argparse: a number of this range, decimal or with 0x hexadecimal."""

    def parsed(text: str) -> int:
        found = _NUMBER.fullmatch(text)
        value = int(text, 16 if text[:2].lower() == "0x" else 10) if found else -1
        if value not in allowed:
            limit = f"{_shown(allowed.start)} to {_shown(allowed.stop - 1)}"
            raise argparse.ArgumentTypeError(f"found {text!r}, expected {limit}")
        return value

    return parsed


def hex_bytes(size: int) -> Callable[[str], bytes]:
    """For argparse: ``size`` bytes as hex digits, with or without 0x."""

    def parsed(text: str) -> bytes:
        digits = text.removeprefix("0x")
        if not re.fullmatch(f"[0-9A-Fa-f]{{{2 * size}}}", digits):
            right = f"{2 * size} hex digits"
            raise argparse.ArgumentTypeError(f"found {text!r}, expected {right}")
        return bytes.fromhex(digits)

    return parsed


def _shown(value: int) -> str:
    return str(value) if value < 0x10000 else f"0x{value:x}"
