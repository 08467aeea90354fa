"""The codec: nothing but format errors leaves it, names and places are right."""

from __future__ import annotations

import pickle
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pefstack.images.codec import U8, U16, U32, U64, Layout, octets
from pefstack.images.errors import FormatError, PefError

LAYOUT = Layout(
    "thing", magic=U32, count=U8, version=U16, items=octets(8), size=U64, tail=octets(3)
)
RAW = bytes.fromhex("17082011 05 0102 00000001fffffffe 00000000000000ff 616263")
VALUES: dict[str, Any] = {
    "magic": 0x17082011,
    "count": 5,
    "version": 0x0102,
    "items": bytes.fromhex("00000001fffffffe"),
    "size": 0xFF,
    "tail": b"abc",
}


def build(values: dict[str, Any]) -> bytes:
    return LAYOUT.build(SimpleNamespace(**values))


def test_parse_all() -> None:
    for raw in (RAW, bytearray(RAW), memoryview(RAW)):
        assert LAYOUT.parse_all(raw) == VALUES
    assert LAYOUT.size == len(RAW)


def test_parse_prefix_leaves_what_follows() -> None:
    for raw in (RAW, RAW + b"more", memoryview(RAW + b"more")):
        assert LAYOUT.parse_prefix(raw) == VALUES


def test_bytes_left_over_are_refused() -> None:
    with pytest.raises(FormatError) as caught:
        LAYOUT.parse_all(RAW + b"more")
    error = caught.value
    assert (error.format_name, error.field, error.offset) == ("thing", "end", 26)
    assert "4" in error.found


@given(st.integers(0, len(RAW) - 1))
def test_cut_short(size: int) -> None:
    for parse in (LAYOUT.parse_all, LAYOUT.parse_prefix):
        with pytest.raises(FormatError) as caught:
            parse(RAW[:size])
        assert (caught.value.format_name, caught.value.offset) == ("thing", size)


@given(st.binary(max_size=40))
def test_noise_is_refused_politely(raw: bytes) -> None:
    with suppress(FormatError):
        assert raw == build(LAYOUT.parse_all(raw))


@pytest.mark.parametrize(
    ("size", "field", "found", "expected"),
    [
        (0, "magic", "0x0 bytes", "0x4 bytes"),
        (2, "magic", "0x2 bytes", "0x4 bytes"),
        (4, "count", "0x0 bytes", "0x1 bytes"),
        (14, "items", "0x7 bytes", "0x8 bytes"),
        (15, "size", "0x0 bytes", "0x8 bytes"),
        (25, "tail", "0x2 bytes", "0x3 bytes"),
    ],
)
def test_the_field_that_is_cut_is_named(
    size: int, field: str, found: str, expected: str
) -> None:
    with pytest.raises(FormatError) as caught:
        LAYOUT.parse_prefix(RAW[:size])
    error = caught.value
    assert (error.field, error.found, error.expected) == (field, found, expected)


def test_offsets() -> None:
    offsets = {"magic": 0, "count": 4, "version": 5, "items": 7, "size": 15, "tail": 23}
    assert LAYOUT.offsets == offsets


@given(
    st.integers(0, 255), st.integers(0, 2**64 - 1), st.binary(min_size=8, max_size=8)
)
def test_round_trip(count: int, size: int, items: bytes) -> None:
    values = VALUES | {"count": count, "size": size, "items": items}
    assert LAYOUT.parse_all(build(values)) == values


def test_what_is_given_goes_before_the_attribute() -> None:
    raw = LAYOUT.build(SimpleNamespace(**VALUES), count=6, tail=b"xyz")
    assert LAYOUT.parse_all(raw) == VALUES | {"count": 6, "tail": b"xyz"}


@pytest.mark.parametrize(
    ("field", "value", "found"),
    [
        ("magic", 1 << 32, "0x100000000"),
        ("count", 256, "0x100"),
        ("count", -1, "-0x1"),
        ("count", "one", "'one'"),
        ("count", None, "None"),
        ("version", 0x10000, "0x10000"),
        ("items", [1], "[1]"),
        ("size", 1 << 64, "0x10000000000000000"),
        ("tail", b"four", "0x4 bytes"),
        ("tail", b"", "0x0 bytes"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(
    field: str, value: object, found: str
) -> None:
    with pytest.raises(FormatError) as caught:
        build(VALUES | {field: value})
    error = caught.value
    assert (error.format_name, error.field, error.offset) == ("thing", field, 0)
    assert error.found == found


def test_format_errors_read_well_and_survive_pickling() -> None:
    error = FormatError("thing", "count", 0x1C, "0x5", "at most 0x4")
    assert isinstance(error, PefError)
    assert str(error) == "thing: count, at 0x1c: found 0x5, expected at most 0x4"
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.offset) == (str(error), 0x1C)
