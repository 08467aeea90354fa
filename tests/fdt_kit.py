"""Device trees put together by hand, right or wrong, and how they are refused."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from pefstack.images import fdt_header
from pefstack.images.errors import FormatError
from pefstack.images.fdt import Fdt

VECTORS = Path(__file__).parent / "vectors" / "esm"
ENDED = bytes(16)
STRUCT = 0x38  # where the struct block is in what `tree` makes


def begin(name: bytes = b"") -> bytes:
    raw = b"\0\0\0\1" + name + b"\0"
    return raw + bytes(-len(raw) % 4)


def prop(nameoff: int, value: bytes = b"") -> bytes:
    raw = struct.pack(">III", 3, len(value), nameoff) + value
    return raw + bytes(-len(raw) % 4)


END_NODE, NOP, END = (number.to_bytes(4, "big") for number in (2, 4, 9))


def tree(
    *parts: bytes, strings: bytes = b"", reserve: bytes = ENDED, **fields: int
) -> bytes:
    """A tree put together by hand; some words of the header may be others."""
    nodes = b"".join(parts)
    start = 0x28 + len(reserve)
    end = start + len(nodes)
    words = [0xD00DFEED, end + len(strings), start, end, 0x28, 17, 16, 0]
    words += [len(strings), len(nodes)]
    raw = struct.pack(">10I", *words) + reserve + nodes + strings
    return with_words(raw, fields)


def with_words(raw: bytes, fields: dict[str, int]) -> bytes:
    """Other words in the header."""
    changed = bytearray(raw)
    for name, value in fields.items():
        struct.pack_into(">I", changed, fdt_header.OFFSETS[name], value)
    return bytes(changed)


def version_16(*parts: bytes, strings: bytes, rest: bytes = b"") -> bytes:
    """As Linux's prom_init does: strings first, no size of the struct block."""
    block = strings + bytes(-len(strings) % 4)
    nodes = b"".join(parts)
    start = 0x38 + len(block)
    words = [0xD00DFEED, start + len(nodes) + len(rest), start, 0x38, 0x28, 16, 16, 5]
    return struct.pack(">10I", *words, len(strings), 0) + ENDED + block + nodes + rest


def refusal(raw: bytes, *, unique: bool = True) -> tuple[str, int]:
    with pytest.raises(FormatError) as caught:
        Fdt.from_bytes(raw, unique=unique)
    assert caught.value.format_name == "FDT"
    return caught.value.field, caught.value.offset


def blob() -> bytes:
    return (VECTORS / "blob-a.dtb").read_bytes()
