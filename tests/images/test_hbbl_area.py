"""The HBBL area of a POWER9 SEEPROM: round trip, sizes, what does not fit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pefstack import FormatError
from pefstack.images.hbbl_area import build_area, hw_key_hash_of

KEY_HASH = bytes(range(64))


@given(st.binary(max_size=600), st.binary(max_size=600))
def test_parts_stand_where_the_notes_say(hbbl: bytes, rom: bytes) -> None:
    area = build_area(hbbl, rom, KEY_HASH)
    assert len(area) == 0x5000
    assert area[: len(hbbl)] == hbbl
    at = (len(hbbl) + 7) // 8 * 8
    assert area[at : at + 8] == len(rom).to_bytes(8, "big")
    assert area[at + 8 : at + 8 + len(rom)] == rom
    assert area[0x4FC0:] == KEY_HASH == hw_key_hash_of(area)


@given(st.binary(max_size=200).filter(lambda raw: len(raw) != 0x5000))
def test_noise_and_cut_areas_are_refused(raw: bytes) -> None:
    with pytest.raises(FormatError) as caught:
        hw_key_hash_of(raw)
    assert (caught.value.field, caught.value.offset) == ("area", 0)


def test_an_area_one_byte_too_long_is_refused() -> None:
    with pytest.raises(FormatError):
        hw_key_hash_of(build_area(b"", b"", KEY_HASH) + b"\0")


def test_what_does_not_fit_is_refused() -> None:
    assert build_area(bytes(0x4FC0 - 8), b"", KEY_HASH)
    with pytest.raises(FormatError) as caught:
        build_area(bytes(0x4FC0 - 8), b"\0", KEY_HASH)
    assert (caught.value.format_name, caught.value.field) == ("HBBL area", "code")
    with pytest.raises(FormatError) as caught:
        build_area(b"", b"", KEY_HASH[:63])
    assert (caught.value.field, caught.value.offset) == ("hw_key_hash", 0x4FC0)
