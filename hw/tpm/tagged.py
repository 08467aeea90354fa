"""Values as self-describing bytes: the encoding of saved state, and its only form.

Each value is a letter and, but for the constants, a length or count (u32): ``N``
none, ``F`` false, ``T`` true, ``i`` signed integer, ``b`` bytes, ``s`` UTF-8 text,
``l`` list, ``d`` table (key, value, key, value; keys are texts or integers, none
twice).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from pefstack.images.errors import FormatError

Value = None | bool | int | bytes | str | list[Any] | dict[Any, Any]

NAME: Final = "saved TPM state"
MAX_DEPTH: Final = 16
MAX_INT_SIZE: Final = 1024  # bytes; the longest integer is an RSA key's
_CONSTANTS: Final = {b"N": None, b"F": False, b"T": True}


def encode(value: Value) -> bytes:
    """The bytes of a value; TypeError for what is none."""
    if value is None or isinstance(value, bool):
        return b"N" if value is None else b"T" if value else b"F"
    if isinstance(value, int):
        size = (value.bit_length() + 8) // 8
        return _counted(b"i", size) + value.to_bytes(size, "big", signed=True)
    if isinstance(value, bytes | bytearray):
        return _counted(b"b", len(value)) + value
    if isinstance(value, str):
        return _counted(b"s", len(raw := value.encode())) + raw
    if isinstance(value, list | tuple):
        return _counted(b"l", len(value)) + b"".join(map(encode, value))
    if isinstance(value, dict):
        pairs = [encode(key) + encode(each) for key, each in value.items()]
        return _counted(b"d", len(pairs)) + b"".join(pairs)
    raise TypeError(f"no saved state: {type(value).__name__}")


def decode(raw: bytes) -> Value:
    """The value of all these bytes; FormatError for any others."""
    value, end = _value(raw, 0, 0)
    if end != len(raw):
        raise _bad("end", end, f"{len(raw) - end} bytes left over", "no more bytes")
    return value


def _counted(tag: bytes, count: int) -> bytes:
    return tag + count.to_bytes(4, "big")


def _value(raw: bytes, offset: int, depth: int) -> tuple[Value, int]:
    tag = raw[offset : offset + 1]
    if tag in _CONSTANTS:
        return _CONSTANTS[tag], offset + 1
    read = _READERS.get(tag)
    start = offset + 5
    if read is None or start > len(raw) or depth > MAX_DEPTH:
        raise _bad("tag", offset, f"{tag!r} at depth {depth}", "a tag and its count")
    count = int.from_bytes(raw[offset + 1 : start], "big")
    if count > len(raw) - start:  # each thing that is counted takes a byte or more
        raise _bad("count", offset + 1, f"0x{count:x}", "no more than there are bytes")
    return read(raw, start, count, depth + 1)


def _int(raw: bytes, start: int, size: int, depth: int) -> tuple[Value, int]:
    end = start + size
    value = int.from_bytes(raw[start:end], "big", signed=True)
    if size > MAX_INT_SIZE or size != (value.bit_length() + 8) // 8:
        raise _bad("integer", start, f"{size} bytes", "the shortest form")
    return value, end


def _bytes(raw: bytes, start: int, size: int, depth: int) -> tuple[Value, int]:
    return raw[start : start + size], start + size


def _text(raw: bytes, start: int, size: int, depth: int) -> tuple[Value, int]:
    try:
        return raw[start : start + size].decode(), start + size
    except UnicodeDecodeError:
        raise _bad("text", start, "other bytes", "UTF-8") from None


def _list(raw: bytes, start: int, count: int, depth: int) -> tuple[Value, int]:
    values: list[Any] = []
    for _ in range(count):
        value, start = _value(raw, start, depth)
        values.append(value)
    return values, start


def _table(raw: bytes, start: int, count: int, depth: int) -> tuple[Value, int]:
    table: dict[Any, Any] = {}
    for _ in range(count):
        at = start
        key, start = _value(raw, start, depth)
        if isinstance(key, bool) or not isinstance(key, str | int) or key in table:
            raise _bad("key", at, "another key", "a text or integer, not used before")
        table[key], start = _value(raw, start, depth)
    return table, start


_READERS: Final[dict[bytes, Callable[[bytes, int, int, int], tuple[Value, int]]]] = {
    b"i": _int,
    b"b": _bytes,
    b"s": _text,
    b"l": _list,
    b"d": _table,
}


def _bad(field: str, offset: int, found: str, expected: str) -> FormatError:
    return FormatError(NAME, field, offset, found, expected)
