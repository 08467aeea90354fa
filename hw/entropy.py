"""Seeded randomness and a settable clock: what a machine has instead of the world."""

from __future__ import annotations

from hashlib import sha256, shake_256
from typing import Final

BLOCK_SIZE: Final = 256  # bytes of the stream that one SHAKE-256 call gives
MAX_MILLISECONDS: Final = (1 << 63) - 1


class Entropy:
    """A byte stream that follows from a seed and a label, and from nothing else.

    The stream does not depend on how it is cut: two reads of 16 bytes give what one
    read of 32 bytes gives. Streams with different labels are independent.
    """

    __slots__ = ("_key", "_position", "label")

    def __init__(self, seed: str, label: str) -> None:
        seed_bytes, label_bytes = _encoded(seed), _encoded(label)
        size = len(seed_bytes).to_bytes(8, "big")
        self._key = sha256(b"pefstack" + size + seed_bytes + label_bytes).digest()
        self._position = 0
        self.label = label

    def random_bytes(self, count: int) -> bytes:
        """The next ``count`` bytes; ValueError if ``count`` is negative."""
        if count < 0:
            raise ValueError(f"cannot give {count} bytes")
        first, skip = divmod(self._position, BLOCK_SIZE)
        self._position += count
        last = (self._position + BLOCK_SIZE - 1) // BLOCK_SIZE
        blocks = b"".join([self._block(index) for index in range(first, last)])
        return blocks[skip : skip + count]

    def stir(self, data: bytes) -> None:
        """Mix ``data`` in: the stream from here on depends on it as well."""
        position = self._position.to_bytes(16, "big")
        self._key = sha256(b"stir" + self._key + position + data).digest()
        self._position = 0

    def fork(self) -> Entropy:
        """A copy that goes on from the same place, on its own."""
        copy = Entropy.__new__(Entropy)
        copy._key, copy._position, copy.label = self._key, self._position, self.label
        return copy

    def _block(self, index: int) -> bytes:
        return shake_256(self._key + index.to_bytes(16, "big")).digest(BLOCK_SIZE)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Entropy):
            return NotImplemented
        return (self._key, self._position) == (other._key, other._position)

    def __repr__(self) -> str:
        return f"Entropy(label={self.label!r}, position={self._position})"


class Clock:
    """Milliseconds since the machine was made; its owner moves it, only forward."""

    __slots__ = ("_now",)

    def __init__(self, now: int = 0) -> None:
        self._now = 0
        self.now = now

    @property
    def now(self) -> int:
        """The time in milliseconds; ValueError when it is set back or out of range."""
        return self._now

    @now.setter
    def now(self, value: int) -> None:
        if not self._now <= value <= MAX_MILLISECONDS:
            raise ValueError(f"the clock at {self._now} ms cannot be set to {value} ms")
        self._now = value

    def advance(self, milliseconds: int) -> None:
        """Let time pass."""
        self.now = self._now + milliseconds

    def fork(self) -> Clock:
        """A clock with the same time and a future of its own."""
        return Clock(self._now)

    def __repr__(self) -> str:
        return f"Clock(now={self._now})"


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
