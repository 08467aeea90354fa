"""Secure-boot settings: bytes written out by hand, round trips, refusals."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pefstack.images.errors import FormatError
from pefstack.images.sb_settings import MeasurementSettings, SbSettings

U8 = st.integers(0, 255)
HASH = bytes(range(64))


def settings() -> st.SearchStrategy[SbSettings]:
    return st.builds(
        SbSettings,
        hw_key_hash=st.binary(min_size=64, max_size=64),
        minimum_secure_version=U8,
        signing_mode=U8,
        reserved=st.binary(min_size=6, max_size=6),
    )


def measurement_settings() -> st.SearchStrategy[MeasurementSettings]:
    return st.builds(
        MeasurementSettings,
        measurement_version=st.integers(0, 2**32 - 1),
        reserved=st.binary(min_size=4, max_size=4),
    )


def test_by_hand() -> None:
    raw = HASH + b"\x07\x01" + b"rest56"
    found = SbSettings.from_bytes(raw)
    assert found == SbSettings(
        hw_key_hash=HASH, minimum_secure_version=7, signing_mode=1, reserved=b"rest56"
    )
    assert found.to_bytes() == raw


def test_measurement_by_hand() -> None:
    raw = bytes.fromhex("00020013 00000000")  # of the public build
    assert MeasurementSettings.from_bytes(raw) == MeasurementSettings()
    assert MeasurementSettings().to_bytes() == raw


@given(settings())
def test_round_trip(value: SbSettings) -> None:
    assert SbSettings.from_bytes(value.to_bytes()) == value


@given(measurement_settings())
def test_measurement_round_trip(value: MeasurementSettings) -> None:
    assert MeasurementSettings.from_bytes(value.to_bytes()) == value


@given(settings(), st.integers(0, 71))
def test_cut_short(value: SbSettings, size: int) -> None:
    with pytest.raises(FormatError):
        SbSettings.from_bytes(value.to_bytes()[:size])


@given(measurement_settings(), st.integers(0, 7))
def test_measurement_cut_short(value: MeasurementSettings, size: int) -> None:
    with pytest.raises(FormatError):
        MeasurementSettings.from_bytes(value.to_bytes()[:size])


@given(st.binary(max_size=100))
def test_noise_is_refused_politely(raw: bytes) -> None:
    with suppress(FormatError):
        SbSettings.from_bytes(raw)
    with suppress(FormatError):
        MeasurementSettings.from_bytes(raw)


def test_left_over_bytes() -> None:
    with pytest.raises(FormatError) as caught:
        SbSettings.from_bytes(bytes(73))
    error = caught.value
    assert (error.format_name, error.field, error.offset) == ("SB settings", "end", 72)
    with pytest.raises(FormatError) as caught:
        MeasurementSettings.from_bytes(bytes(9))
    assert (caught.value.field, caught.value.offset) == ("end", 8)


def test_values_that_do_not_fit() -> None:
    good = SbSettings(hw_key_hash=HASH)
    for wrong, field in (
        (replace(good, hw_key_hash=bytes(32)), "hw_key_hash"),
        (replace(good, minimum_secure_version=256), "minimum_secure_version"),
        (replace(good, signing_mode=-1), "signing_mode"),
        (replace(good, reserved=b""), "reserved"),
    ):
        with pytest.raises(FormatError) as caught:
            wrong.to_bytes()
        assert caught.value.field == field
