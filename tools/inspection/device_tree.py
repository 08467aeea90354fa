"""A flattened device tree: header, blocks, and every node and property in its place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pefstack.images.codec import Buffer
from pefstack.images.fdt import Fdt
from pefstack.images.fdt_header import FdtHeader
from pefstack.images.fdt_read import BEGIN_NODE, END, END_NODE, PROP
from pefstack.tools.inspection.region import Region, rest

_WORD: Final = 4


def device_tree_regions(raw: Buffer) -> Iterator[Region]:
    """In the order of the file; `FormatError` if the tree is broken."""
    tree, total = Fdt.from_prefix(raw)
    content = bytes(raw[:total])
    header, _ = FdtHeader.from_prefix(content)
    size = header.header_size
    text = f"version {header.version}, 0x{total:x} bytes"
    found = [Region(offset=0, size=size, name="header", value=text)]
    reserved = (f"0x{at:x} +0x{size:x}" for at, size in tree.reserve_map)
    found.append(
        Region(
            offset=header.off_mem_rsvmap,
            size=16 * (len(tree.reserve_map) + 1),
            name="reserve map",
            value=", ".join(reserved),
        )
    )
    found += _nodes(content, header)
    strings = header.size_dt_strings
    found.append(
        Region(offset=header.off_dt_strings, size=strings, name="property names")
    )
    at = 0
    for region in sorted(found, key=lambda each: each.offset):
        yield from rest(content, at, region.offset)
        yield region
        at = max(at, region.offset + region.size)
    yield from rest(raw, at, len(raw))


def _nodes(raw: bytes, header: FdtHeader) -> Iterator[Region]:
    """One walk over a struct block that was already found to be right."""
    at, path = header.off_dt_struct, list[str]()
    while at < header.end_dt_struct:
        start, tag = at, _number(raw, at)
        at += _WORD
        name, value = "", ""
        if tag == BEGIN_NODE:
            end = raw.index(0, at)
            path.append(raw[at:end].decode("latin-1"))
            at, name = end + 1, "node"
            value = "/".join(path) or "/"
        elif tag == PROP:
            size, offset = _number(raw, at), _number(raw, at + _WORD)
            at += 2 * _WORD
            name, value = _name(raw, header, offset), _value(raw[at : at + size])
            at += size
        elif tag == END_NODE:
            path.pop()
            name = "end of node"
        at += -at % _WORD
        yield Region(offset=start, size=at - start, name=name or "tag", value=value)
        if tag == END:
            return


def _number(raw: bytes, at: int) -> int:
    return int.from_bytes(raw[at : at + _WORD], "big")


def _name(raw: bytes, header: FdtHeader, offset: int) -> str:
    at = header.off_dt_strings + offset
    return raw[at : raw.index(0, at)].decode("latin-1")


def _value(value: bytes) -> str:
    """Strings where all of it is text, else hex."""
    words = value.removesuffix(b"\0").split(b"\0")
    printable = all(word.isascii() and word.decode().isprintable() for word in words)
    if value.endswith(b"\0") and printable and all(words):
        return ", ".join(repr(word.decode()) for word in words)
    return value.hex()
