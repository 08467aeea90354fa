"""KDFa: SP 800-108 in counter mode with HMAC (Part 1, 11.4.10.2; esm.md 5.4)."""

from __future__ import annotations

from collections.abc import Callable
from hmac import digest as keyed_digest
from typing import Any, Final

MAX_BITS: Final = 1 << 20  # far above any key, mask or command

HashMaker = Callable[..., Any]
"""A function of `hashlib`, such as ``hashlib.sha256``."""


def kdfa(
    maker: HashMaker, key: bytes, label: bytes, u: bytes, v: bytes, bits: int
) -> bytes:
    """``bits`` bits out of HMAC in counter mode; ``label`` without its NUL.

    When ``bits`` is no multiple of 8, the top bits of the first byte are zero.
    ValueError for a number of bits out of range.
    """
    tail = label + b"\0" + u + v + bits.to_bytes(4, "big")
    counters = block_counters(maker().digest_size, bits)
    blocks = [keyed_digest(key, counter + tail, maker) for counter in counters]
    return leading_bits(b"".join(blocks), bits)


def block_counters(digest_size: int, bits: int) -> list[bytes]:
    """The counters, from 1, of as many digests as hold ``bits`` bits."""
    if not 0 <= bits <= MAX_BITS:
        raise ValueError(f"cannot derive {bits} bits")
    count = -(-bits // (8 * digest_size))
    return [index.to_bytes(4, "big") for index in range(1, count + 1)]


def leading_bits(stream: bytes, bits: int) -> bytes:
    """The bytes that hold ``bits`` bits, with bits that are not asked for cleared."""
    size = (bits + 7) // 8
    if bits % 8 == 0:
        return stream[:size]
    first = stream[0] & ((1 << bits % 8) - 1)
    return bytes((first,)) + stream[1:size]
