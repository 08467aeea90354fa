"""Where keys and initialization vectors come from."""

from __future__ import annotations

import os

from pefstack.hw.tpm.crypto.stream import Stream


class SystemStream:
    """The randomness of the operating system."""

    __slots__ = ()

    def random_bytes(self, count: int) -> bytes:
        """The next ``count`` bytes."""
        return os.urandom(count)


def stream_of(seed: str | None) -> Stream:
    """The system's stream; with a seed, for tests alone, what follows from it."""
    if seed is None:
        return SystemStream()
    from pefstack.hw.entropy import Entropy

    return Entropy(seed, "esm")
