"""Where keys come from: random ones, and primary keys that follow from a seed.

Both can be replaced from outside: a pool of ready keys for random ones, and one cache
of primary keys, by (seed, template), for any number of TPMs.
"""

from __future__ import annotations

from typing import Any, Protocol

MAX_CACHED: int = 4096


class ByteStream(Protocol):
    """Anything that gives random bytes."""

    def random_bytes(self, count: int) -> bytes:
        """The next ``count`` bytes."""
        ...


class KeyMaker:
    """Makes RSA and ECC keys; a subclass may take random ones from a pool.

    ``primary`` remembers what it made for a context, so that CreatePrimary with the
    same seed and template is immediate. Keys are values: forks share them.
    """

    __slots__ = ("_primaries",)

    def __init__(self) -> None:
        self._primaries: dict[bytes, Any] = {}

    def rsa(self, stream: ByteStream, bits: int, exponent: int) -> Any:
        """A new `RsaKey` from the stream."""
        from pefstack.hw.tpm.crypto import rsa

        return rsa.generate(stream, bits, exponent)

    def ecc(self, stream: ByteStream, curve: int) -> Any:
        """A new `EccKey` from the stream."""
        from pefstack.hw.tpm.crypto import ecc

        return ecc.generate(stream, curve)

    def cached(self, context: bytes) -> Any | None:
        """The primary key that was made for a context before."""
        return self._primaries.get(context)

    def keep(self, context: bytes, key: Any) -> None:
        """Remember a primary key; the oldest is forgotten when there are too many."""
        if len(self._primaries) >= MAX_CACHED:
            del self._primaries[next(iter(self._primaries))]
        self._primaries[context] = key
