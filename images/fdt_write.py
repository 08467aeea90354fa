"""Flattened device tree: nodes to the bytes of version 17, without recursion."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Final

from pefstack.images.errors import FormatError
from pefstack.images.fdt_header import HEADER_SIZE, MAX_TREE_SIZE, NAME, FdtHeader
from pefstack.images.fdt_node import (
    MAX_DEPTH,
    MAX_NODE_COUNT,
    MAX_PROPERTY_COUNT,
    FdtNode,
    is_name,
)
from pefstack.images.fdt_read import (
    BEGIN_NODE,
    END,
    END_NODE,
    MAX_RESERVE_COUNT,
    PROP,
)

_PROP: Final = struct.Struct(">III")
_RESERVE: Final = struct.Struct(">QQ")
_BEGIN: Final = BEGIN_NODE.to_bytes(4, "big")
_END_NODE: Final = END_NODE.to_bytes(4, "big")
_END: Final = END.to_bytes(4, "big")

Ranges = tuple[tuple[int, int], ...]


def write_tree(
    root: FdtNode, reserve_map: Ranges, boot_cpuid: int, names: Sequence[str] = ()
) -> bytes:
    """The whole tree: header, reserve map, struct block, strings block.

    Of ``names``, those that are used come first in the strings block.
    Raises `FormatError` for what the reader refuses, but for names that stand twice.
    """
    ranges = _reserve_block(reserve_map)
    nodes, strings = _blocks(root, names)
    start = HEADER_SIZE + len(ranges)
    header = FdtHeader(
        totalsize=start + len(nodes) + len(strings),
        off_dt_struct=start,
        off_dt_strings=start + len(nodes),
        off_mem_rsvmap=HEADER_SIZE,
        boot_cpuid_phys=boot_cpuid,
        size_dt_strings=len(strings),
        size_dt_struct=len(nodes),
    )
    if header.totalsize > MAX_TREE_SIZE:
        limit = f"at most 0x{MAX_TREE_SIZE:x}"
        raise FormatError(NAME, "totalsize", 4, f"0x{header.totalsize:x}", limit)
    return header.to_bytes() + ranges + nodes + strings


def _reserve_block(ranges: Ranges) -> bytes:
    if len(ranges) > MAX_RESERVE_COUNT or (0, 0) in ranges:
        limit = f"at most 0x{MAX_RESERVE_COUNT:x} entries, none all zero"
        raise FormatError(
            NAME, "reserve map", HEADER_SIZE, f"0x{len(ranges):x} entries", limit
        )
    try:
        rows = [_RESERVE.pack(address, size) for address, size in ranges]
    except struct.error as exc:
        raise FormatError(
            NAME, "reserve map", HEADER_SIZE, str(exc), "two 64-bit numbers"
        ) from None
    return b"".join(rows) + bytes(_RESERVE.size)


def _blocks(root: FdtNode, names: Sequence[str]) -> tuple[bytes, bytes]:
    """Struct block and strings block; each property name once, in order of use."""
    strings = _Strings()
    for name in _used(root, names):
        strings.offset(name)
    parts: list[bytes] = []
    property_count = node_count = 0
    for node, depth in _steps(root):
        if node is None:
            parts.append(_END_NODE)
            continue
        node_count += 1
        property_count += len(node.properties)
        _check_limit("nodes", node_count, MAX_NODE_COUNT)
        _check_limit("properties", property_count, MAX_PROPERTY_COUNT)
        _check_limit("depth", depth, MAX_DEPTH)
        parts.append(_BEGIN + _node_name(node.name, depth))
        parts += [_property(strings, name, value) for name, value in node.properties]
    parts.append(_END)
    return b"".join(parts), strings.block


def _used(root: FdtNode, names: Sequence[str]) -> list[str]:
    if not names:
        return []
    used = {name for node, _ in _steps(root) if node for name, _ in node.properties}
    return [name for name in names if name in used]


def _steps(root: FdtNode) -> Iterator[tuple[FdtNode | None, int]]:
    """Each node where it begins, None where it ends; with its depth, 1 at the root."""
    ahead: list[tuple[FdtNode | None, int]] = [(root, 1)]
    while ahead:
        node, depth = ahead.pop()
        yield node, depth
        if node is not None:
            ahead.append((None, depth))
            ahead += [(each, depth + 1) for each in reversed(node.children)]


class _Strings:
    """The strings block while it grows."""

    def __init__(self) -> None:
        self._offsets: dict[str, int] = {}
        self._size = 0

    def offset(self, name: str) -> int:
        known = self._offsets.get(name)
        if known is not None:
            return known
        _check_name("property name", name, is_name(name))
        start = self._offsets[name] = self._size
        self._size += len(name) + 1
        return start

    @property
    def block(self) -> bytes:
        return "".join(f"{name}\0" for name in self._offsets).encode("ascii")


def _node_name(name: str, depth: int) -> bytes:
    _check_name("node name", name, is_name(name) if depth > 1 else not name)
    raw = name.encode("ascii") + b"\0"
    return raw + bytes(-len(raw) % 4)


def _property(strings: _Strings, name: str, value: bytes) -> bytes:
    size = len(value)
    _check_limit("property size", size, MAX_TREE_SIZE)
    return _PROP.pack(PROP, size, strings.offset(name)) + value + bytes(-size % 4)


def _check_name(what: str, name: str, good: bool) -> None:
    if not good:
        right = "visible ASCII without a slash; no name for a root"
        raise FormatError(NAME, what, 0, repr(name), right)


def _check_limit(what: str, count: int, limit: int) -> None:
    if count > limit:
        raise FormatError(NAME, what, 0, f"0x{count:x}", f"at most 0x{limit:x}")
