"""Where the reference may differ: what accepted.txt lists, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_FILE: Final = Path(__file__).with_name("accepted.txt")
_CODES: Final = {
    tuple(int(word, 16) for word in line.split()[:2])
    for line in _FILE.read_text(encoding="utf-8").splitlines()
    if not line.startswith("algorithms")
}


def accepted(command: bytes, codes: list[int]) -> bool:
    """Whether these response codes, ours first, may differ."""
    return tuple(codes) in _CODES
