"""Secrets looked for in whatever somebody has seen, in the forms they may take."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

PIECE: Final = 16  # a part of a secret as long as this is a secret too
WORDS: Final = (2, 4, 8, 16)  # sizes of words that may lie in the other order


@lru_cache(maxsize=256)
def forms(secret: bytes) -> frozenset[bytes]:
    """Each piece raw, in hex, in base64 at every offset, with its words reversed."""
    found: set[bytes] = set()
    for at in range(0, len(secret) - PIECE + 1, PIECE):
        found |= _forms_of_piece(secret[at : at + PIECE])
    if len(secret) > PIECE:
        found |= _forms_of_piece(secret[-PIECE:])
    return frozenset(found)


def traces(seen: Iterable[bytes], secrets: Mapping[str, bytes]) -> list[str]:
    """The names of the secrets that are in there; ValueError for one too short."""
    heap = b"|".join(dict.fromkeys(seen))
    for name, secret in secrets.items():
        if len(secret) < PIECE:
            raise ValueError(f"{name} has fewer than {PIECE} bytes")
    found = secrets.items()
    return [name for name, secret in found if any(f in heap for f in forms(secret))]


def _forms_of_piece(piece: bytes) -> set[bytes]:
    turned = {_turned(piece, size) for size in WORDS} | {piece}
    written = {text for each in turned for text in (each.hex(), each.hex().upper())}
    shifted = {_in_base64(piece, shift) for shift in range(3)}
    urls = {each.translate(_URL) for each in shifted}
    return turned | {text.encode() for text in written} | shifted | urls


_URL: Final = bytes.maketrans(b"+/", b"-_")


def _turned(piece: bytes, size: int) -> bytes:
    words = (piece[at : at + size] for at in range(0, len(piece), size))
    return b"".join(word[::-1] for word in words)


def _in_base64(piece: bytes, shift: int) -> bytes:
    """What of the text does not depend on the bytes around it."""
    text = b64encode(bytes(shift) + piece)
    head = (8 * shift + 5) // 6
    return text[head : 8 * (shift + len(piece)) // 6]
