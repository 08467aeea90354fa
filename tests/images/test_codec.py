"""The codec: nothing but format errors leaves it, names and places are right."""

from __future__ import annotations

import pickle
from contextlib import suppress

import pytest
from construct import Array, Bytes, Const, Int8ub, Int32ub, Struct
from hypothesis import given
from hypothesis import strategies as st

from pefstack.images.codec import build_bytes, parse_all, parse_prefix
from pefstack.images.errors import FormatError, PefError

LAYOUT = Struct(
    "_magic" / Const(0x17082011, Int32ub),
    "count" / Int8ub,
    "items" / Array(2, Int32ub),
    "tail" / Bytes(3),
)
RAW = bytes.fromhex("17082011 05 00000001 fffffffe 616263")
VALUES = {"count": 5, "items": [1, 0xFFFFFFFE], "tail": b"abc"}


def test_parse_all() -> None:
    for raw in (RAW, bytearray(RAW), memoryview(RAW)):
        assert parse_all("thing", LAYOUT, raw) == VALUES


def test_parse_prefix_says_how_much_it_took() -> None:
    assert parse_prefix("thing", LAYOUT, RAW + b"more") == (VALUES, len(RAW))


def test_bytes_left_over_are_refused() -> None:
    with pytest.raises(FormatError) as caught:
        parse_all("thing", LAYOUT, RAW + b"more")
    error = caught.value
    assert (error.format_name, error.field, error.offset) == ("thing", "end", 16)
    assert "4" in error.found


@given(st.integers(0, len(RAW) - 1))
def test_cut_short(size: int) -> None:
    with pytest.raises(FormatError) as caught:
        parse_all("thing", LAYOUT, RAW[:size])
    assert caught.value.offset <= size


@given(st.binary(max_size=40))
def test_noise_is_refused_politely(raw: bytes) -> None:
    with suppress(FormatError):
        assert raw == build_bytes("thing", LAYOUT, parse_all("thing", LAYOUT, raw))


@pytest.mark.parametrize(("size", "field"), [(2, "_magic"), (4, "count"), (14, "tail")])
def test_the_field_that_is_cut_is_named(size: int, field: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_prefix("thing", LAYOUT, RAW[:size])
    assert caught.value.field == field


def test_a_constant_that_differs_is_named() -> None:
    with pytest.raises(FormatError) as caught:
        parse_all("thing", LAYOUT, b"\0" + RAW[1:])
    assert caught.value.field == "_magic"


@given(st.integers(0, 255), st.tuples(*[st.integers(0, 2**32 - 1)] * 2))
def test_round_trip(count: int, items: tuple[int, int]) -> None:
    values = {"count": count, "items": list(items), "tail": b"xyz"}
    raw = build_bytes("thing", LAYOUT, values)
    assert parse_all("thing", LAYOUT, raw) == values


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("count", 256),
        ("count", -1),
        ("count", "one"),
        ("count", None),
        ("items", [1]),
        ("items", [1, 2, 3]),
        ("tail", b"four"),
        ("tail", b""),
    ],
)
def test_a_value_that_does_not_fit_is_refused(field: str, value: object) -> None:
    with pytest.raises(FormatError) as caught:
        build_bytes("thing", LAYOUT, VALUES | {field: value})
    error = caught.value
    assert (error.format_name, error.field, error.offset) == ("thing", field, 0)


def test_format_errors_read_well_and_survive_pickling() -> None:
    error = FormatError("thing", "count", 0x1C, "0x5", "at most 0x4")
    assert isinstance(error, PefError)
    assert str(error) == "thing: count, at 0x1c: found 0x5, expected at most 0x4"
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.offset) == (str(error), 0x1C)
