"""Device tree: readers of properties and both rules of looking up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pefstack.images.errors import FormatError
from pefstack.images.fdt import Fdt, FdtNode, libfdt_find

READERS = ["u32", "u64", "number", "cells", "string", "strings", "value"]


def holding(value: bytes) -> FdtNode:
    return FdtNode(properties=(("key", value),))


def refusal(reader: str, value: bytes, *words: int) -> tuple[str, int]:
    with pytest.raises(FormatError) as caught:
        getattr(holding(value), reader)("key", *words)
    assert caught.value.format_name == "FDT"
    return caught.value.field, caught.value.offset


def named(*names: str) -> tuple[FdtNode, ...]:
    """Siblings; what each is called is its one property as well."""
    return tuple(
        FdtNode(name=name, properties=(("at", str(place).encode()),))
        for place, name in enumerate(names)
    )


def test_numbers() -> None:
    node = FdtNode(
        properties=(
            ("one", bytes.fromhex("80000001")),
            ("two", bytes.fromhex("8000000000000002")),
            ("none", b""),
        )
    )
    assert node.u32("one") == node.number("one") == 0x80000001
    assert node.u64("two") == node.number("two") == 0x8000000000000002
    assert node.cells("two") == (0x80000000, 2)
    assert node.cells("two", 8) == (0x8000000000000002,)
    assert node.cells("none") == ()


@pytest.mark.parametrize(
    ("reader", "size"),
    [
        ("u32", 0),
        ("u32", 3),
        ("u32", 8),
        ("u64", 4),
        ("u64", 9),
        ("number", 0),
        ("number", 5),
        ("number", 12),
    ],
)
def test_numbers_of_another_length(reader: str, size: int) -> None:
    assert refusal(reader, bytes(size)) == ("property key", 0)


def test_cells_that_do_not_come_out_even() -> None:
    assert refusal("cells", bytes(6)) == ("property key", 6)
    assert refusal("cells", bytes(12), 8) == ("property key", 12)
    assert refusal("cells", bytes(4), 0) == ("property key", 4)


def test_strings() -> None:
    assert holding("é\0".encode()).string("key") == "é"
    assert holding(b"\0").string("key") == ""
    assert holding(b"a\0").strings("key") == ("a",)
    assert holding(b"a\0\0b c\0").strings("key") == ("a", "", "b c")


@pytest.mark.parametrize(
    ("reader", "value", "offset"),
    [
        ("string", b"", 0),
        ("string", b"abc", 0),
        ("string", b"a\0b\0", 1),
        ("string", b"a\0\0", 1),
        ("string", b"a\xff\0", 1),
        ("strings", b"", 0),
        ("strings", b"a\0b", 3),
        ("strings", b"a\0b\xff\0", 3),
    ],
)
def test_strings_that_are_none(reader: str, value: bytes, offset: int) -> None:
    assert refusal(reader, value) == ("property key", offset)


@pytest.mark.parametrize("reader", READERS)
def test_property_that_is_missing(reader: str) -> None:
    with pytest.raises(FormatError) as caught:
        getattr(FdtNode(), reader)("kernel-size")
    assert (caught.value.field, caught.value.found) == ("property kernel-size", "none")


@given(st.binary(max_size=24), st.sampled_from(READERS))
def test_noise_is_refused_politely(value: bytes, reader: str) -> None:
    try:
        getattr(holding(value), reader)("key")
    except FormatError as exc:
        assert 0 <= exc.offset <= len(value)


@given(
    st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8")), min_size=1)
)
def test_strings_round_trip(texts: list[str]) -> None:
    raw = "".join(f"{text}\0" for text in texts).encode()
    assert holding(raw).strings("key") == tuple(texts)


def test_first_of_two_counts() -> None:
    node = FdtNode(properties=(("key", b"1"), ("key", b"2")), children=named("n", "n"))
    assert node.get("key") == b"1"
    child = node.child("n")
    assert child is not None
    assert child.value("at") == b"0"
    assert node.get("other") is None
    assert node.child("other") is None


def test_exact_lookup() -> None:
    inner = FdtNode(name="lockboxes", children=named("lockbox-1@0", "lockbox-1"))
    fdt = Fdt(root=FdtNode(children=(inner,)))
    assert fdt.node("/") is fdt.root
    assert fdt.node("/lockboxes/lockbox-1").value("at") == b"1"
    assert fdt.node("//lockboxes/lockbox-1@0/").value("at") == b"0"
    assert fdt.find("/lockboxes/lockbox") is None
    assert fdt.find("/other/lockbox-1") is None
    assert [path for path, _ in fdt.nodes()] == [
        "/",
        "/lockboxes",
        "/lockboxes/lockbox-1@0",
        "/lockboxes/lockbox-1",
    ]


def test_node_that_is_missing() -> None:
    with pytest.raises(FormatError) as caught:
        Fdt(root=FdtNode()).node("/chosen")
    assert (caught.value.field, caught.value.found) == ("node /chosen", "none")


@pytest.mark.parametrize(
    ("names", "wanted", "found"),
    [
        (["lockbox-1@0"], "lockbox-1", 0),
        (["lockbox-10", "lockbox-1"], "lockbox-1", 1),
        (["lockbox-10@0"], "lockbox-1", None),
        (["lockbox-1@0", "lockbox-1"], "lockbox-1", 0),
        (["lockbox-1", "lockbox-1@0"], "lockbox-1", 0),
        (["lockbox-1", "lockbox-1@0"], "lockbox-1@0", 1),
        (["lockbox-1@00"], "lockbox-1@0", None),
        (["lockbox-1"], "lockbox-1@", None),
        (["lockbox-1@0@1"], "lockbox-1", 0),
        (["@0"], "lockbox-1", None),
    ],
)
def test_lookup_of_libfdt(names: list[str], wanted: str, found: int | None) -> None:
    top = FdtNode(name="top@8", children=named(*names))
    node = libfdt_find(Fdt(root=FdtNode(children=(top,))), f"/top/{wanted}")
    place = None if node is None else int(node.value("at"))
    assert place == found


def test_libfdt_does_not_come_back() -> None:
    """The first match of a part is taken, also when it leads nowhere."""
    first = FdtNode(name="top@0")
    second = FdtNode(name="top", children=named("n"))
    fdt = Fdt(root=FdtNode(children=(first, second)))
    assert libfdt_find(fdt, "/top/n") is None
    assert fdt.node("/top/n").name == "n"
