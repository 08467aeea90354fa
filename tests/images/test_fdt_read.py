"""Flattened device trees: every refusal of the header and the blocks."""

from __future__ import annotations

import struct

import pytest

from fdt_kit import (
    END,
    END_NODE,
    ENDED,
    STRUCT,
    begin,
    blob,
    prop,
    refusal,
    tree,
    with_words,
)
from pefstack.images import fdt_header, fdt_node, fdt_read
from pefstack.images.errors import FormatError
from pefstack.images.fdt import Fdt, FdtNode
from pefstack.images.fdt_header import FdtHeader


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"magic": 0xEDFE0DD0}, "magic"),
        ({"version": 15}, "version"),
        ({"version": 18, "last_comp_version": 18}, "last_comp_version"),
        ({"version": 16, "last_comp_version": 17}, "last_comp_version"),
        ({"totalsize": 39}, "totalsize"),
        ({"totalsize": fdt_header.MAX_TREE_SIZE + 1}, "totalsize"),
        ({"totalsize": 0x49}, "totalsize"),
        ({"totalsize": 2**32 - 1}, "totalsize"),
        ({"off_mem_rsvmap": 0x20}, "off_mem_rsvmap"),
        ({"off_mem_rsvmap": 0x2C}, "off_mem_rsvmap"),
        ({"off_mem_rsvmap": 0x40}, "off_mem_rsvmap"),
        ({"off_dt_struct": 0x24}, "off_dt_struct"),
        ({"off_dt_struct": 0x3A}, "off_dt_struct"),
        ({"off_dt_struct": 0x48}, "off_dt_struct"),
        ({"off_dt_struct": 2**32 - 4}, "off_dt_struct"),
        ({"off_dt_strings": 0x27}, "off_dt_strings"),
        ({"off_dt_strings": 0x49}, "off_dt_strings"),
        ({"size_dt_strings": 1}, "size_dt_strings"),
        ({"size_dt_strings": 2**32 - 1}, "size_dt_strings"),
        ({"size_dt_struct": 0x11}, "size_dt_struct"),
        ({"size_dt_struct": 2**32 - 1}, "size_dt_struct"),
    ],
)
def test_header_refusals(fields: dict[str, int], field: str) -> None:
    raw = with_words(tree(begin(), END_NODE, END), fields)
    assert len(raw) == 0x48
    assert refusal(raw) == (field, fdt_header.OFFSETS[field])


def test_size_of_the_tree_at_its_bounds() -> None:
    """The header alone decides; nobody has four megabytes for it yet."""
    raw = tree(begin(), END_NODE, END)
    limit = fdt_header.MAX_TREE_SIZE
    assert FdtHeader.from_prefix(with_words(raw, {"totalsize": limit})[:40])
    for size in (39, limit + 1, 2**32 - 1):
        with pytest.raises(FormatError) as caught:
            FdtHeader.from_prefix(with_words(raw, {"totalsize": size})[:40])
        assert (caught.value.field, caught.value.offset) == ("totalsize", 4)


def test_header_that_is_cut() -> None:
    for size, field in ((0, "magic"), (7, "totalsize"), (39, "size_dt_struct")):
        with pytest.raises(FormatError) as caught:
            FdtHeader.from_prefix(blob()[:size])
        assert caught.value.field == field


@pytest.mark.parametrize(
    ("parts", "field", "offset"),
    [
        ([], "tag", 0),
        ([END], "tag", 0),
        ([END_NODE], "tag", 0),
        ([prop(0)], "tag", 0),
        ([begin(), END], "tag", 8),
        ([begin()], "tag", 8),
        ([begin(), b"\0\0"], "tag", 8),
        ([begin(), bytes(4)], "tag", 8),
        ([begin(), b"\0\0\0\5"], "tag", 8),
        ([begin(), END_NODE, END_NODE], "tag", 12),
        ([begin(), END_NODE, prop(0)], "tag", 12),
        ([begin(), END_NODE, begin(), END_NODE, END], "tag", 12),
        ([begin(), begin(b"n"), END_NODE, prop(0), END_NODE, END], "tag", 20),
        ([begin(b"root"), END_NODE, END], "node name", 4),
        ([begin(), begin(), END_NODE, END_NODE, END], "node name", 12),
        ([begin(), begin(b"a/b"), END_NODE, END_NODE, END], "node name", 12),
        ([begin(), begin(b"a b"), END_NODE, END_NODE, END], "node name", 12),
        ([begin(), begin(b"\x1b[2J"), END_NODE, END_NODE, END], "node name", 12),
        ([begin(), begin(b"\xe9"), END_NODE, END_NODE, END], "node name", 12),
        ([begin(), begin(b"n" * 256), END_NODE, END_NODE, END], "node name", 12),
        ([begin(), b"\0\0\0\1name"], "node name", 12),
        ([begin(), b"\0\0\0\3\0\0\0\0"], "property", 12),
        ([begin(), prop(0, b"1234")[:-1]], "property size", 12),
        ([begin(), struct.pack(">III", 3, 2**32 - 1, 0)], "property size", 12),
        ([begin(), prop(4)], "property nameoff", 16),
        ([begin(), prop(2**32 - 1)], "property nameoff", 16),
    ],
)
def test_struct_block_refusals(parts: list[bytes], field: str, offset: int) -> None:
    raw = tree(*parts, strings=b"key\0")
    if parts:
        assert refusal(raw) == (field, STRUCT + offset)
        assert refusal(raw, unique=False) == (field, STRUCT + offset)
    else:
        assert refusal(raw) == ("tag", STRUCT)


@pytest.mark.parametrize(
    ("strings", "offset"),
    [(b"key", 0), (b"\0", 0), (b"a b\0", 0), (b"\xff\0", 0), (b"n" * 256 + b"\0", 0)],
)
def test_property_names_that_are_none(strings: bytes, offset: int) -> None:
    raw = tree(begin(), prop(offset), END_NODE, END, strings=strings)
    at = int.from_bytes(raw[0x0C:0x10], "big")
    assert refusal(raw) == ("property name", at + offset)


def test_a_name_ends_in_its_block() -> None:
    """The NUL behind the strings block belongs to nobody."""
    raw = tree(begin(), prop(0), END_NODE, END, strings=b"key\0", size_dt_strings=3)
    assert refusal(raw) == ("property name", len(raw) - 4)


def test_longest_names() -> None:
    name = "n" * fdt_node.MAX_NAME_SIZE
    fdt = Fdt(root=FdtNode(properties=((name, b""),), children=(FdtNode(name=name),)))
    assert Fdt.from_bytes(fdt.to_bytes()) == fdt


def test_names_that_stand_twice() -> None:
    twins = [begin(), begin(b"n"), END_NODE, begin(b"n"), END_NODE, END_NODE, END]
    assert refusal(tree(*twins)) == ("node name", STRUCT + 20)
    again = [begin(), prop(0, b"1"), prop(0, b"2"), END_NODE, END]
    raw = tree(*again, strings=b"key\0")
    assert refusal(raw) == ("property name", STRUCT + 24)
    fdt = Fdt.from_bytes(raw, unique=False)
    assert fdt.root.value("key") == b"1"
    assert fdt.to_bytes() == raw
    assert len(Fdt.from_bytes(tree(*twins), unique=False).root.children) == 2


def test_same_name_in_other_nodes() -> None:
    inner = FdtNode(name="n", properties=(("n", b""),), children=(FdtNode(name="n"),))
    fdt = Fdt(root=FdtNode(properties=(("n", b""),), children=(inner,)))
    assert Fdt.from_bytes(fdt.to_bytes()) == fdt


def test_depth() -> None:
    """64 nodes one in the other, not 65, and a hundred thousand without a recursion."""
    limit = fdt_node.MAX_DEPTH
    deepest = [begin(), *[begin(b"n")] * (limit - 1), *[END_NODE] * limit, END]
    assert Fdt.from_bytes(Fdt.from_bytes(tree(*deepest)).to_bytes())
    for count in (limit, 100_000):
        raw = tree(begin(), *[begin(b"n")] * count, *[END_NODE] * (count + 1), END)
        assert refusal(raw) == ("depth", STRUCT + 8 * limit)


def test_too_many_nodes() -> None:
    limit = fdt_node.MAX_NODE_COUNT
    raw = tree(begin(), *[begin(b"n") + END_NODE] * limit, END_NODE, END)
    at = STRUCT + 8 + 12 * (limit - 1)
    assert refusal(raw, unique=False) == ("nodes", at)


def test_too_many_properties(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fdt_read, "MAX_PROPERTY_COUNT", 3)
    raw = tree(begin(), *[prop(0)] * 4, END_NODE, END, strings=b"key\0")
    assert refusal(raw, unique=False) == ("properties", STRUCT + 8 + 3 * 12)


def test_reserve_map_without_its_end() -> None:
    row = struct.pack(">QQ", 1, 2)
    raw = tree(begin(), END_NODE, END, reserve=row)
    assert refusal(raw) == ("reserve map", 0x38)


def test_reserve_map_keeps_a_row_of_size_zero() -> None:
    rows = struct.pack(">QQQQ", 1, 0, 0, 1) + ENDED
    raw = tree(begin(), END_NODE, END, reserve=rows)
    assert Fdt.from_bytes(raw).reserve_map == ((1, 0), (0, 1))


def test_too_many_reserved_ranges() -> None:
    limit = fdt_read.MAX_RESERVE_COUNT
    fdt = Fdt(root=FdtNode(), reserve_map=((1, 1),) * limit)
    assert Fdt.from_bytes(fdt.to_bytes()) == fdt
    rows = struct.pack(">QQ", 1, 1) * (limit + 1) + ENDED
    raw = tree(begin(), END_NODE, END, reserve=rows)
    assert refusal(raw) == ("reserve map", 0x28 + 16 * limit)


def test_left_over_bytes() -> None:
    assert refusal(blob() + b"\0") == ("end", 1667)
