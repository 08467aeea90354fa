"""Tables of a machine file as values: every wrong setting is named."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pefstack.hw.mapping import SettingError, check_range, from_mapping, to_mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """Every plain kind."""

    first_number: int
    on: bool = False
    name: str = "leaf"
    raw: bytes = b""

    def __post_init__(self) -> None:
        check_range("first-number", self.first_number, 0xFF)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """Every way to hold others."""

    leaf: Leaf
    maybe: Leaf | None = None
    many: tuple[Leaf, ...] = ()
    names: tuple[str, ...] = ("a",)
    by_name: dict[str, Leaf] = field(default_factory=dict)


LEAVES = st.builds(
    Leaf,
    first_number=st.integers(0, 255),
    on=st.booleans(),
    name=st.text(max_size=4),
    raw=st.binary(max_size=4),
)
TREES = st.builds(
    Tree,
    leaf=LEAVES,
    maybe=st.none() | LEAVES,
    many=st.lists(LEAVES, max_size=3).map(tuple),
    names=st.lists(st.text(max_size=3), max_size=3).map(tuple),
    by_name=st.dictionaries(st.text(max_size=3), LEAVES, max_size=3),
)
GOOD = {"leaf": {"first-number": 1}}


@given(TREES)
def test_round_trip(tree: Tree) -> None:
    assert from_mapping(Tree, to_mapping(tree), "tree") == tree


@given(TREES)
def test_the_table_is_smallest(tree: Tree) -> None:
    table = to_mapping(from_mapping(Tree, to_mapping(tree), "tree"))
    assert table == to_mapping(tree)
    assert ("maybe" in table) == (tree.maybe is not None)
    assert ("names" in table) == (tree.names != ("a",))


def test_the_table_as_people_write_it() -> None:
    leaf = Leaf(first_number=7, on=True, raw=b"\x0a\xff")
    tree = Tree(leaf=leaf, maybe=Leaf(first_number=0), by_name={"X": leaf})
    short = {"first-number": 7, "on": True, "raw": "0aff"}
    assert to_mapping(tree) == {
        "leaf": short,
        "maybe": {"first-number": 0},
        "by-name": {"X": short},
    }


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({}, "t.leaf", "is missing"),
    ({"leaf": {}}, "t.leaf.first-number", "is missing"),
    (GOOD | {"leaves": 1}, "t.leaves", "no such setting; there are: leaf, maybe"),
    ({"leaf": {"first_number": 1}}, "t.leaf.first_number", "no such setting"),
    ({"leaf": 5}, "t.leaf", "found 5, expected a table"),
    ({"leaf": {"first-number": "1"}}, "t.leaf.first-number", "expected a number"),
    ({"leaf": {"first-number": True}}, "t.leaf.first-number", "expected a number"),
    ({"leaf": {"first-number": 1.0}}, "t.leaf.first-number", "expected a number"),
    ({"leaf": {"first-number": 256}}, "t.leaf.first-number", "found 0x100, expected"),
    ({"leaf": {"first-number": -1}}, "t.leaf.first-number", "found 0x-1, expected"),
    ({"leaf": GOOD["leaf"] | {"on": 1}}, "t.leaf.on", "expected true or false"),
    ({"leaf": GOOD["leaf"] | {"name": 1}}, "t.leaf.name", "expected a text"),
    ({"leaf": GOOD["leaf"] | {"raw": "0g"}}, "t.leaf.raw", "expected hex digits"),
    ({"leaf": GOOD["leaf"] | {"raw": "é"}}, "t.leaf.raw", "expected hex digits"),
    ({"leaf": GOOD["leaf"] | {"raw": 16}}, "t.leaf.raw", "expected a text"),
    (GOOD | {"maybe": False}, "t.maybe", "expected a table"),
    (GOOD | {"many": {"a": 1}}, "t.many", "expected a list"),
    (GOOD | {"many": [GOOD["leaf"], 2]}, "t.many[1]", "expected a table"),
    (GOOD | {"many": [{"first-number": 999}]}, "t.many[0].first-number", "0x3e7"),
    (GOOD | {"names": "a"}, "t.names", "expected a list"),
    (GOOD | {"names": [None]}, "t.names[0]", "found None, expected a text"),
    (GOOD | {"by-name": []}, "t.by-name", "expected a table"),
    (GOOD | {"by-name": {"X": {}}}, "t.by-name.X.first-number", "is missing"),
    (GOOD | {"by-name": {"X": {"q": 1}}}, "t.by-name.X.q", "no such setting"),
    ({"leaf": datetime.date(2020, 1, 1)}, "t.leaf", "expected a table"),
]


@pytest.mark.parametrize(("table", "key", "problem"), WRONG)
def test_every_wrong_value_names_its_key(
    table: dict[str, Any], key: str, problem: str
) -> None:
    with pytest.raises(SettingError) as wrong:
        from_mapping(Tree, table, "t")
    assert wrong.value.key == key
    assert problem in wrong.value.problem
    assert str(wrong.value).startswith(f"{key}: ")


def test_what_is_no_table_at_all() -> None:
    with pytest.raises(SettingError, match="t: found 'x', expected a table"):
        from_mapping(Tree, "x", "t")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["leaf", "many", "first-number", "raw", "by-name"]), inner
        )
    ),
    max_leaves=8,
)


@given(JSON)
def test_noise_is_refused_politely(table: object) -> None:
    try:
        tree = from_mapping(Tree, table, "t")
    except SettingError as wrong:
        assert wrong.key.startswith("t")
    else:
        assert from_mapping(Tree, to_mapping(tree), "t") == tree
