"""A script: bytes that decide, one after the other; behind its end all is as usual."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")
BYTE = 256


class Choices:
    """What a script decides; 0 always stands for the tamest choice."""

    __slots__ = ("_at", "_script")

    def __init__(self, script: bytes) -> None:
        self._script = script
        self._at = 0

    def byte(self) -> int:
        """The next one."""
        self._at += 1
        return self._script[self._at - 1] if self._at <= len(self._script) else 0

    def of(self, options: Sequence[T]) -> T:
        """One of the options: of at most 256, the first one is the tamest."""
        return options[self.byte() % len(options)]

    def below(self, limit: int) -> int:
        """A number from 0; 0 too when there is none."""
        value = self.byte() * BYTE + self.byte()
        return value % limit if limit else 0

    def odds(self, chance: int) -> bool:
        """True in ``chance`` of 256 cases."""
        return self.byte() >= BYTE - chance
