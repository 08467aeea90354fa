"""Text for terminals: colour where it is wanted, width where there is one."""

from __future__ import annotations

import os
import shutil
import sys
from typing import Final

_CODES: Final = {"good": "32", "bad": "1;31", "dim": "2", "strong": "1"}
WIDE: Final = 1 << 16  # a pipe or a file has no width


def paint(text: str, style: str) -> str:
    """The text in a style, if standard output is a terminal and NO_COLOR is not set."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return text
    return f"\x1b[{_CODES[style]}m{text}\x1b[0m"


def width() -> int:
    """Columns of the terminal; practically no limit where there is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDE


def clean(text: str) -> str:
    """The text without control characters, so that pipes and terminals survive it."""
    return "".join(each if each.isprintable() else "." for each in text)
