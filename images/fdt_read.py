"""Flattened device tree: its blocks to nodes, without recursion (esm.md 1.1)."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Final

from pefstack.images.errors import FormatError
from pefstack.images.fdt_header import NAME, RESERVE_ENTRY_SIZE, FdtHeader
from pefstack.images.fdt_node import (
    MAX_DEPTH,
    MAX_NAME_SIZE,
    MAX_NODE_COUNT,
    MAX_PROPERTY_COUNT,
    FdtNode,
    Property,
    is_name,
)

BEGIN_NODE: Final = 1
END_NODE: Final = 2
PROP: Final = 3
NOP: Final = 4
END: Final = 9
MAX_RESERVE_COUNT: Final = 1024

_WORD: Final = struct.Struct(">I")
_PROP: Final = struct.Struct(">II")
_RESERVE: Final = struct.Struct(">QQ")


def read_reserve_map(raw: bytes, header: FdtHeader) -> tuple[tuple[int, int], ...]:
    """(address, size) of each reserved range, up to the entry that is all zero.

    Raises `FormatError` when that entry does not come before the next block.
    """
    found: list[tuple[int, int]] = []
    at, end = header.off_mem_rsvmap, header.end_mem_rsvmap
    while at + RESERVE_ENTRY_SIZE <= end:
        address, size = _RESERVE.unpack_from(raw, at)
        if address == size == 0:
            return tuple(found)
        if len(found) == MAX_RESERVE_COUNT:
            limit = f"at most 0x{MAX_RESERVE_COUNT:x} entries"
            raise FormatError(NAME, "reserve map", at, "one more", limit)
        found.append((address, size))
        at += RESERVE_ENTRY_SIZE
    raise FormatError(NAME, "reserve map", at, "the end", "an entry that is all zero")


def read_root(raw: bytes, header: FdtHeader, *, unique: bool) -> FdtNode:
    """The root node with all below it.

    ``raw`` has ``totalsize`` bytes at least. Raises `FormatError` for a tag that is
    unknown or in a wrong place, a name or value that leaves its block, a property
    behind a child (libfdt does not see it), too much of anything, and with ``unique`` a
    name that stands twice in one node.
    """
    return _Reader(raw, header, unique=unique).read()


@dataclass(slots=True)
class _Open:
    """A node whose END_NODE has not come yet."""

    name: str
    properties: list[Property] = field(default_factory=list)
    children: list[FdtNode] = field(default_factory=list)
    property_names: set[str] = field(default_factory=set)
    child_names: set[str] = field(default_factory=set)

    def closed(self) -> FdtNode:
        return FdtNode(
            name=self.name,
            properties=tuple(self.properties),
            children=tuple(self.children),
        )


class _Reader:
    """One walk over the struct block; ``_at`` is the offset of what comes next."""

    def __init__(self, raw: bytes, header: FdtHeader, *, unique: bool) -> None:
        self._raw = raw
        self._at = header.off_dt_struct
        self._end = header.end_dt_struct
        self._header = header
        self._unique = unique
        self._names: dict[int, str] = {}  # by offset in the strings block
        self._open: list[_Open] = []
        self._root: FdtNode | None = None
        self._node_count = 0
        self._property_count = 0

    def read(self) -> FdtNode:
        tag = 0
        while tag != END:
            at = self._at
            tag = self._word("tag")
            if tag == PROP:
                self._property(at)
            elif tag == BEGIN_NODE:
                self._begin(at)
            elif tag == END_NODE:
                self._close(at)
            elif tag not in (NOP, END):
                raise FormatError(NAME, "tag", at, f"0x{tag:x}", "1, 2, 3, 4 or 9")
        if self._root is None:
            raise FormatError(NAME, "tag", at, "the end", "a whole root node")
        return self._root

    def _word(self, what: str) -> int:
        at = self._at
        if at + _WORD.size > self._end:
            raise FormatError(NAME, what, at, "the end", "4 bytes")
        self._at = at + _WORD.size
        word: int = _WORD.unpack_from(self._raw, at)[0]
        return word

    def _begin(self, at: int) -> None:
        self._node_count += 1
        if self._node_count > MAX_NODE_COUNT:
            raise _too_many("nodes", at, MAX_NODE_COUNT)
        if len(self._open) == MAX_DEPTH:
            raise _too_many("depth", at, MAX_DEPTH)
        name = self._node_name(self._at)
        self._at += -(-(len(name) + 1) // 4) * 4
        if self._open:
            self._once(self._open[-1].child_names, name, "node name", at)
        elif self._root is not None:
            raise FormatError(NAME, "tag", at, "a second root node", "END (9)")
        self._open.append(_Open(name))

    def _node_name(self, at: int) -> str:
        name = self._text("node name", at, self._end)
        if is_name(name) if self._open else not name:
            return name
        right = "visible ASCII without a slash" if self._open else "no name for a root"
        raise FormatError(NAME, "node name", at, repr(name), right)

    def _close(self, at: int) -> None:
        if not self._open:
            raise FormatError(NAME, "tag", at, "END_NODE (2)", "an open node")
        node = self._open.pop().closed()
        if self._open:
            self._open[-1].children.append(node)
        else:
            self._root = node

    def _property(self, at: int) -> None:
        if not self._open or self._open[-1].children:
            right = "a node that is open and has no child yet"
            raise FormatError(NAME, "tag", at, "PROP (3)", right)
        self._property_count += 1
        if self._property_count > MAX_PROPERTY_COUNT:
            raise _too_many("properties", at, MAX_PROPERTY_COUNT)
        name, value = self._name_and_value()
        node = self._open[-1]
        self._once(node.property_names, name, "property name", at)
        node.properties.append((name, value))

    def _name_and_value(self) -> Property:
        start = self._at + _PROP.size
        if start > self._end:
            raise FormatError(NAME, "property", self._at, "the end", "8 bytes")
        size, offset = _PROP.unpack_from(self._raw, self._at)
        if size > self._end - start:
            limit = f"at most 0x{self._end - start:x}"
            raise FormatError(NAME, "property size", self._at, f"0x{size:x}", limit)
        name = self._names.get(offset) or self._property_name(offset)
        self._at = start + -(-size // 4) * 4
        return name, self._raw[start : start + size]

    def _property_name(self, offset: int) -> str:
        if offset >= self._header.size_dt_strings:
            limit = f"less than 0x{self._header.size_dt_strings:x}"
            place = self._at + 4
            raise FormatError(NAME, "property nameoff", place, f"0x{offset:x}", limit)
        at = self._header.off_dt_strings + offset
        name = self._text("property name", at, self._header.end_dt_strings)
        if not is_name(name):
            right = "visible ASCII without a slash"
            raise FormatError(NAME, "property name", at, repr(name), right)
        self._names[offset] = name
        return name

    def _text(self, what: str, at: int, end: int) -> str:
        """Up to the NUL, which must come in time; a letter for every byte."""
        stop = self._raw.find(b"\0", at, min(end, at + MAX_NAME_SIZE + 1))
        if stop < 0:
            limit = f"a NUL within 0x{MAX_NAME_SIZE + 1:x} bytes and the block"
            raise FormatError(NAME, what, at, "no NUL", limit)
        return self._raw[at:stop].decode("latin-1")

    def _once(self, names: set[str], name: str, what: str, at: int) -> None:
        if self._unique and name in names:
            raise FormatError(NAME, what, at, f"{name!r} again", "once in its node")
        names.add(name)


def _too_many(what: str, at: int, limit: int) -> FormatError:
    return FormatError(NAME, what, at, "one more", f"at most 0x{limit:x}")
