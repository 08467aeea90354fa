"""Flattened device tree: the whole of it, and looking nodes up (esm.md 1.1 to 1.4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from pefstack.images.codec import Buffer
from pefstack.images.errors import FormatError
from pefstack.images.fdt_header import NAME, OFFSETS, FdtHeader
from pefstack.images.fdt_node import FdtNode
from pefstack.images.fdt_read import read_reserve_map, read_root
from pefstack.images.fdt_write import write_tree

__all__ = ["Fdt", "FdtNode", "libfdt_find"]

Same = Callable[[str, str], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fdt:
    """A device tree; ``reserve_map`` has (address, size) of each reserved range."""

    root: FdtNode
    reserve_map: tuple[tuple[int, int], ...] = ()
    boot_cpuid: int = 0

    @classmethod
    def from_prefix(cls, raw: Buffer, *, unique: bool = True) -> tuple[Fdt, int]:
        """The tree at the start of ``raw``, version 16 or 17, and its total size.

        With ``unique`` a name that stands twice in one node is refused; else, as with
        libfdt, the first counts. Bytes that belong to no block, and those behind END,
        are not looked at. Raises `FormatError` for a tree that leaves ``raw`` and
        whatever header, reserve map or nodes are refused for.
        """
        header, _ = FdtHeader.from_prefix(raw)
        total = header.totalsize
        if total > len(raw):
            limit = f"at most 0x{len(raw):x}, where the bytes end"
            at = OFFSETS["totalsize"]
            raise FormatError(NAME, "totalsize", at, f"0x{total:x}", limit)
        content = bytes(raw[:total])
        fdt = cls(
            root=read_root(content, header, unique=unique),
            reserve_map=read_reserve_map(content, header),
            boot_cpuid=header.boot_cpuid_phys,
        )
        return fdt, total

    @classmethod
    def from_bytes(cls, raw: Buffer, *, unique: bool = True) -> Fdt:
        """A tree and nothing behind it; errors as `from_prefix`."""
        fdt, size = cls.from_prefix(raw, unique=unique)
        if rest := len(raw) - size:
            raise FormatError(NAME, "end", size, f"0x{rest:x} bytes", "no more bytes")
        return fdt

    def to_bytes(self, names: Sequence[str] = ()) -> bytes:
        """Version 17, laid out as IBM's tool does, without unused space.

        Property names are in order of use; of ``names`` those that are used come first.
        Raises `FormatError` for what `from_bytes` refuses; names that stand twice are
        written.
        """
        return write_tree(self.root, self.reserve_map, self.boot_cpuid, names)

    def find(self, path: str) -> FdtNode | None:
        """The node at an exact path, such as ``/lockboxes``, if there is one."""
        return _walk_path(self.root, path, str.__eq__)

    def node(self, path: str) -> FdtNode:
        """The node at an exact path; `FormatError` if there is none."""
        node = self.find(path)
        if node is None:
            raise FormatError(NAME, f"node {path}", 0, "none", "one")
        return node

    def nodes(self) -> Iterator[tuple[str, FdtNode]]:
        """(path, node) of every node, in the order of the struct block."""
        ahead = [("", self.root)]
        while ahead:
            path, node = ahead.pop()
            yield path or "/", node
            children = reversed(node.children)
            ahead += [(f"{path}/{each.name}", each) for each in children]


def libfdt_find(fdt: Fdt, path: str) -> FdtNode | None:
    """The node that libfdt finds, and so the real firmware (esm.md 1.1).

    A part of the path without ``@`` also matches a node of that name with a unit
    address; of several the first in the struct block wins.
    """
    return _walk_path(fdt.root, path, _libfdt_same)


def _libfdt_same(wanted: str, name: str) -> bool:
    if "@" in wanted:
        return name == wanted
    return name.partition("@")[0] == wanted


def _walk_path(root: FdtNode, path: str, same: Same) -> FdtNode | None:
    """Part by part, the first child that fits; empty parts of the path do not count."""
    node: FdtNode | None = root
    for wanted in filter(None, path.split("/")):
        if node is None:
            return None
        node = next((each for each in node.children if same(wanted, each.name)), None)
    return node
