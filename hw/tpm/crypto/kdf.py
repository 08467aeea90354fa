"""Key derivation: KDFa, KDFe, and an endless stream for primary keys (tpm.md 3)."""

from __future__ import annotations

from typing import Final

from pefstack.hw.tpm.codes import DIGEST_SIZE
from pefstack.hw.tpm.crypto.hashes import constructor, digest
from pefstack.images.kdfa import block_counters, leading_bits
from pefstack.images.kdfa import kdfa as counter_mode

PRIMARY: Final = b"PRIMARY"


def kdfa(alg: int, key: bytes, label: bytes, u: bytes, v: bytes, bits: int) -> bytes:
    """KDFa: ``bits`` bits out of HMAC in counter mode; ``label`` without its NUL.

    When ``bits`` is no multiple of 8, the top bits of the first byte are zero.
    ValueError for an unknown algorithm or a number of bits out of range.
    """
    return counter_mode(constructor(alg), key, label, u, v, bits)


def kdfe(
    alg: int, z: bytes, label: bytes, party_u: bytes, party_v: bytes, bits: int
) -> bytes:
    """KDFe: ``bits`` bits out of a shared x-coordinate ``z``; ``label`` without NUL.

    ``z`` and the parties' x-coordinates are padded to the size of the curve.
    """
    tail = z + label + b"\0" + party_u + party_v
    constructor(alg)
    counters = block_counters(DIGEST_SIZE[alg], bits)
    blocks = [digest(alg, counter, tail) for counter in counters]
    return leading_bits(b"".join(blocks), bits)


class KdfaStream:
    """An endless byte stream that follows from a seed and a context, by KDFa.

    It has the protocol of `pefstack.hw.entropy.Entropy`: how it is cut does not matter.
    """

    __slots__ = ("_alg", "_buffer", "_context", "_count", "_label", "_seed")

    def __init__(
        self, alg: int, seed: bytes, context: bytes, label: bytes = PRIMARY
    ) -> None:
        constructor(alg)  # ValueError now rather than later
        self._alg = alg
        self._seed = seed
        self._context = context
        self._label = label
        self._count = 0
        self._buffer = b""

    def random_bytes(self, count: int) -> bytes:
        """The next ``count`` bytes; ValueError if ``count`` is negative."""
        if count < 0:
            raise ValueError(f"cannot give {count} bytes")
        blocks = [self._buffer]
        missing = count - len(self._buffer)
        while missing > 0:
            blocks.append(self._block())
            missing -= len(blocks[-1])
        stream = b"".join(blocks)
        self._buffer = stream[count:]
        return stream[:count]

    def _block(self) -> bytes:
        self._count += 1
        number = self._count.to_bytes(8, "big")
        bits = DIGEST_SIZE[self._alg] * 8
        return kdfa(self._alg, self._seed, self._label, self._context, number, bits)

    def __repr__(self) -> str:
        return f"KdfaStream(label={self._label!r}, blocks={self._count})"
