"""A region of a file, and how the rest between regions is named."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pefstack.images.codec import Buffer


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """``size`` bytes at ``offset`` of the file: what they are, and what they say."""

    offset: int
    size: int
    name: str
    value: str = ""


def rest(raw: Buffer, start: int, end: int, name: str = "unused") -> Iterator[Region]:
    """What lies between two regions, if anything: erased, zero, or something else."""
    if start < end:
        value = uniform(bytes(raw[start:end]))
        yield Region(offset=start, size=end - start, name=name, value=value)


def uniform(raw: bytes) -> str:
    """In words, whether all bytes are alike."""
    for byte, word in ((0xFF, "erased (ff)"), (0x00, "zero")):
        if raw.count(byte) == len(raw):
            return word
    return "not empty"
