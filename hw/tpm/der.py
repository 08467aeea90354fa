"""DER, as far as certificates need it (X.690)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

INTEGER, BIT_STRING, OCTET_STRING, NULL, OID = 0x02, 0x03, 0x04, 0x05, 0x06
SEQUENCE: Final = 0x30
CONTEXT: Final = 0xA0  # [0]; [1] is the next, and so on
_LONG_TAG: Final = 0x1F
_MAX_LENGTH_BYTES: Final = 2  # of anything in a command

Element = tuple[int, bytes, bytes]
"""The tag, the content, the whole element."""


def element(tag: int, *parts: bytes) -> bytes:
    """An element around its parts."""
    content = b"".join(parts)
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def integer(number: int) -> bytes:
    """INTEGER of a number that is not negative."""
    return element(INTEGER, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def oid(dotted: str) -> bytes:
    """OBJECT IDENTIFIER."""
    first, second, *others = (int(each) for each in dotted.split("."))
    numbers = (40 * first + second, *others)
    return element(OID, *(_base_128(each) for each in numbers))


def _base_128(number: int) -> bytes:
    raw = bytes((number & 0x7F,))
    while number := number >> 7:
        raw = bytes((0x80 | number & 0x7F,)) + raw
    return raw


def elements(raw: bytes) -> Iterator[Element]:
    """One after the other; ValueError where there is no element."""
    at = 0
    while at < len(raw):
        start, content, end = at, *_bounds(raw, at)
        yield raw[start], raw[content:end], raw[start:end]
        at = end


def _bounds(raw: bytes, at: int) -> tuple[int, int]:
    """Where the content begins and ends."""
    if at + 2 > len(raw) or raw[at] & _LONG_TAG == _LONG_TAG:
        raise ValueError("no element")
    size, content = raw[at + 1], at + 2
    if size >= 0x80:
        count = size & 0x7F
        content += count
        if not 0 < count <= _MAX_LENGTH_BYTES or content > len(raw):
            raise ValueError("no length")
        size = int.from_bytes(raw[at + 2 : content], "big")
    if content + size > len(raw):
        raise ValueError("an element beyond the end")
    return content, content + size


def bit_string(content: bytes) -> int:
    """A BIT STRING of at most 32 bits as a number whose bit 31 is its first bit."""
    if not 2 <= len(content) <= 5 or content[0] > 7:
        raise ValueError("not 1 to 32 bits")
    value = int.from_bytes(content[1:], "big") >> content[0] << content[0]
    return value << 8 * (5 - len(content))
