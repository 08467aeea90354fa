"""Flattened device trees: round trips, noise, both versions, what is written."""

from __future__ import annotations

import struct
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fdt_kit import (
    END,
    END_NODE,
    ENDED,
    NOP,
    STRUCT,
    begin,
    blob,
    prop,
    refusal,
    tree,
    version_16,
)
from pefstack.images.errors import FormatError
from pefstack.images.fdt import Fdt, FdtNode
from pefstack.images.fdt_header import FdtHeader


def names() -> st.SearchStrategy[str]:
    letters = st.characters(
        min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="/"
    )
    return st.text(letters, min_size=1, max_size=12)


def properties() -> st.SearchStrategy[tuple[tuple[str, bytes], ...]]:
    values = st.binary(max_size=20)
    return st.dictionaries(names(), values, max_size=4).map(lambda d: tuple(d.items()))


def nodes() -> st.SearchStrategy[FdtNode]:
    """A root; names stand once in a node."""

    def above(children: st.SearchStrategy[FdtNode]) -> st.SearchStrategy[FdtNode]:
        below = st.lists(children, max_size=3, unique_by=lambda each: each.name)
        below_all = below.map(tuple)
        return st.builds(
            FdtNode, name=names(), properties=properties(), children=below_all
        )

    leaves = st.builds(FdtNode, name=names(), properties=properties())
    return st.recursive(leaves, above, max_leaves=6).map(
        lambda node: replace(node, name="")
    )


def fdts() -> st.SearchStrategy[Fdt]:
    u64 = st.integers(0, 2**64 - 1)
    ranges = st.tuples(u64, u64).filter(any)
    return st.builds(
        Fdt,
        root=nodes(),
        reserve_map=st.lists(ranges, max_size=3).map(tuple),
        boot_cpuid=st.integers(0, 2**32 - 1),
    )


@given(fdts())
def test_round_trip(fdt: Fdt) -> None:
    assert Fdt.from_bytes(fdt.to_bytes()) == fdt


@given(fdts(), st.binary(max_size=8))
def test_prefix(fdt: Fdt, more: bytes) -> None:
    raw = fdt.to_bytes()
    assert Fdt.from_prefix(raw + more) == (fdt, len(raw))
    assert FdtHeader.from_prefix(raw[:40])[0].totalsize == len(raw)


@given(fdts(), st.integers(0, 0x10000))
def test_cut_short(fdt: Fdt, size: int) -> None:
    raw = fdt.to_bytes()
    with pytest.raises(FormatError):
        Fdt.from_bytes(raw[: size % len(raw)])


@given(fdts(), st.integers(0, 0x10000))
def test_cut_short_with_a_header_that_agrees(fdt: Fdt, size: int) -> None:
    """Also when the total size tells of the cut."""
    raw = fdt.to_bytes()
    short = raw[: size % len(raw)]
    with pytest.raises(FormatError):
        Fdt.from_bytes(short[:4] + len(short).to_bytes(4, "big") + short[8:])


@given(st.binary(max_size=200))
def test_noise_is_refused_politely(raw: bytes) -> None:
    with pytest.raises(FormatError):
        Fdt.from_bytes(raw)


PIECES = [
    begin(),
    begin(b"n"),
    begin(b"n@1"),
    END_NODE,
    NOP,
    END,
    prop(0),
    prop(1, b"v"),
]


@given(
    st.lists(st.sampled_from(PIECES) | st.binary(max_size=8), max_size=12),
    st.booleans(),
)
def test_noise_in_the_blocks_is_refused_politely(
    parts: list[bytes], unique: bool
) -> None:
    for make in (tree, version_16):
        with suppress(FormatError):
            Fdt.from_prefix(make(*parts, strings=b"ab\0"), unique=unique)


@given(st.integers(0, 1666), st.sampled_from([0, 1, 3, 9, 0x7F, 0x80, 0xFF]))
def test_a_changed_byte_is_taken_or_refused_politely(at: int, value: int) -> None:
    raw = bytearray(blob())
    raw[at] = value
    with suppress(FormatError):
        Fdt.from_bytes(raw)


def test_bytes_that_are_written() -> None:
    """All of a small tree, put together by hand; each name stands once."""
    inner = FdtNode(name="a@1", properties=(("reg", b"\0\0\0\1"), ("x", b"12345")))
    root = FdtNode(properties=(("x", b""),), children=(inner, FdtNode(name="b")))
    fdt = Fdt(root=root, reserve_map=((1, 2**64 - 1),), boot_cpuid=7)
    nodes = begin() + prop(0) + begin(b"a@1") + prop(2, b"\0\0\0\1") + prop(0, b"12345")
    nodes += END_NODE + begin(b"b") + END_NODE + END_NODE + END
    reserve = struct.pack(">QQ", 1, 2**64 - 1) + ENDED
    raw = tree(nodes, strings=b"x\0reg\0", reserve=reserve, boot_cpuid_phys=7)
    assert fdt.to_bytes() == raw
    assert Fdt.from_bytes(memoryview(raw)) == fdt


def test_version_16_ends_where_the_tree_does() -> None:
    parts = [
        NOP,
        begin(),
        NOP,
        prop(0, b"v"),
        begin(b"n"),
        END_NODE,
        END_NODE,
        NOP,
        END,
    ]
    raw = version_16(*parts, strings=b"key\0", rest=bytes(4096))
    root = FdtNode(properties=(("key", b"v"),), children=(FdtNode(name="n"),))
    assert Fdt.from_bytes(raw) == Fdt(root=root, boot_cpuid=5)


def test_version_16_ends_where_the_next_block_begins() -> None:
    """The size at offset 36 is none in version 16; the tags run into the strings."""
    parts = [begin(), END_NODE]
    strings = END  # would close the tree
    raw = tree(*parts, strings=strings, version=16, size_dt_struct=0xFFFFFFFF)
    assert refusal(raw) == ("tag", STRUCT + 12)
    good = tree(*parts, END, strings=b"", version=16, size_dt_struct=0xFFFFFFFF)
    assert Fdt.from_bytes(good) == Fdt(root=FdtNode())


def test_later_versions_that_are_compatible() -> None:
    parts = [begin(), END_NODE, END]
    fdt = Fdt(root=FdtNode())
    assert Fdt.from_bytes(tree(*parts, version=18, last_comp_version=17)) == fdt
    assert Fdt.from_bytes(tree(*parts, version=17, last_comp_version=2)) == fdt


def test_what_stands_behind_the_end_is_not_looked_at() -> None:
    assert Fdt.from_bytes(tree(begin(), END_NODE, END, b"\xff\xff\xff\xff"))


def nested(depth: int) -> FdtNode:
    node = FdtNode(name="n")
    for _ in range(depth - 2):
        node = FdtNode(name="n", children=(node,))
    return FdtNode(children=(node,))


@pytest.mark.parametrize(
    ("fdt", "field", "offset"),
    [
        (Fdt(root=FdtNode(name="root")), "node name", 0),
        (Fdt(root=FdtNode(children=(FdtNode(),))), "node name", 0),
        (Fdt(root=FdtNode(children=(FdtNode(name="a/b"),))), "node name", 0),
        (Fdt(root=FdtNode(children=(FdtNode(name="\udc80"),))), "node name", 0),
        (Fdt(root=FdtNode(children=(FdtNode(name="n" * 256),))), "node name", 0),
        (Fdt(root=FdtNode(properties=(("", b""),))), "property name", 0),
        (Fdt(root=FdtNode(properties=(("a\0", b""),))), "property name", 0),
        (Fdt(root=FdtNode(properties=(("\u00e9", b""),))), "property name", 0),
        (Fdt(root=nested(65)), "depth", 0),
        (Fdt(root=nested(5000)), "depth", 0),
        (Fdt(root=FdtNode(children=(FdtNode(name="n"),) * 0x10000)), "nodes", 0),
        (Fdt(root=FdtNode(properties=(("n", b""),) * 0x40001)), "properties", 0),
        (
            Fdt(root=FdtNode(properties=(("n", bytes(0x400001)),))),
            "property size",
            0,
        ),
        (Fdt(root=FdtNode(properties=(("n", bytes(0x400000)),))), "totalsize", 4),
        (Fdt(root=FdtNode(), boot_cpuid=2**32), "boot_cpuid_phys", 0),
        (Fdt(root=FdtNode(), reserve_map=((0, 0),)), "reserve map", 0x28),
        (Fdt(root=FdtNode(), reserve_map=((2**64, 0),)), "reserve map", 0x28),
        (Fdt(root=FdtNode(), reserve_map=((1, 1),) * 1025), "reserve map", 0x28),
    ],
    ids=lambda each: "" if isinstance(each, Fdt) else str(each),
)
def test_values_that_do_not_fit(fdt: Fdt, field: str, offset: int) -> None:
    with pytest.raises(FormatError) as caught:
        fdt.to_bytes()
    assert (caught.value.field, caught.value.offset) == (field, offset)
