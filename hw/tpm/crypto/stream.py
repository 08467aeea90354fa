"""What gives the random bytes of keys, paddings and nonces."""

from __future__ import annotations

from typing import Protocol


class Stream(Protocol):
    """A source of bytes: `hw.entropy.Entropy`, `crypto.kdf.KdfaStream`."""

    def random_bytes(self, count: int) -> bytes:
        """The next ``count`` bytes."""
        ...
