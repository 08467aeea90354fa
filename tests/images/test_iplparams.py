"""HDAT IPL parameters: bytes written out by hand, round trips, every refusal."""

from __future__ import annotations

import struct
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pefstack.images import iplparams
from pefstack.images.errors import FormatError
from pefstack.images.iplparams import IplParameters, SystemParameters

HASH = bytes(range(64))
SECURE = SystemParameters(
    effective_pvr=0x004E1202,
    nest_freq_mhz=2000,
    sys_sec_setting=iplparams.SIGNATURE_CHECKING | iplparams.HASHES_EXTENDED,
    tpm_config_bits=iplparams.TPM_REQUIRED,
    tpm_drawer=1,
    hw_key_hash_size=64,
    hw_key_hash=HASH,
    sys_family=b"ibm,p9-openbmc".ljust(64, b"\0"),
    sys_type=b"ibm,witherspoon".ljust(64, b"\0"),
)
POWER9 = IplParameters(version=0x71, system=SECURE)
HEAD = POWER9.to_bytes()[:0x30]
PART = 0x30  # where the first part is in what `to_bytes` makes


def system_parameters() -> st.SearchStrategy[SystemParameters]:
    return st.builds(
        lambda head, hash_size, tail: SystemParameters.from_bytes(
            head + hash_size.to_bytes(2, "big") + tail
        ),
        st.binary(min_size=134, max_size=134),
        st.integers(0, 64),
        st.binary(min_size=192, max_size=192),
    )


def structures() -> st.SearchStrategy[IplParameters]:
    return st.builds(
        IplParameters,
        instance=st.integers(0, 0xFFFF),
        version=st.integers(0x60, 0xFFFF),
        system=system_parameters(),
    )


def test_by_hand() -> None:
    """Every byte worked out from the fields' order in the real firmware's headers."""
    head = b"\xd1\xf0IPLPMS" + struct.pack(">HHIIIHHI", 0, 0x71, 376, 32, 32, 1, 0, 0)
    pointer = struct.pack(">II8x", 0x30, 328)
    system = (
        bytes(8)
        + struct.pack(">I", 0x004E1202)
        + bytes(44)
        + struct.pack(">I", 2000)
        + bytes(68)
        + struct.pack(">4H", 0xC000, 0x8000, 1, 64)
        + HASH
        + b"ibm,p9-openbmc".ljust(64, b"\0")
        + b"ibm,witherspoon".ljust(64, b"\0")
    )
    assert len(system) == 328
    assert POWER9.to_bytes() == head + pointer + system
    assert IplParameters.from_bytes(head + pointer + system) == POWER9


@given(structures())
def test_round_trip(value: IplParameters) -> None:
    assert IplParameters.from_bytes(value.to_bytes()) == value


@given(st.binary(min_size=328, max_size=328))
def test_any_system_parameters_are_kept_or_refused(raw: bytes) -> None:
    with suppress(FormatError):
        assert SystemParameters.from_bytes(raw).to_bytes() == raw


@given(structures(), st.binary(max_size=8))
def test_prefix(value: IplParameters, more: bytes) -> None:
    raw = value.to_bytes()
    assert IplParameters.from_prefix(raw + more) == (value, len(raw))


@given(structures(), st.integers(0, 0x1000))
def test_cut_short(value: IplParameters, size: int) -> None:
    raw = value.to_bytes()
    with pytest.raises(FormatError):
        IplParameters.from_bytes(raw[: size % len(raw)])


@given(st.binary(max_size=400) | st.binary(max_size=300).map(lambda b: HEAD + b))
def test_noise_is_refused_politely(raw: bytes) -> None:
    with suppress(FormatError):
        IplParameters.from_bytes(raw)


def test_further_parts_and_longer_ones_are_not_looked_at() -> None:
    """Newer firmware appends fields to the first part, and has ten more parts."""
    raw = POWER9.to_bytes()
    system = raw[PART:] + b"more"
    pointers = struct.pack(">4I", 0x30, len(system), 0x30 + len(system), 4)
    total = 0x30 + len(system) + 4
    head = raw[:12] + struct.pack(">IIIHHI", total, 32, 32, 2, 0, 0)
    assert IplParameters.from_bytes(head + pointers + system + b"part") == POWER9


def patched(at: int, value: bytes) -> bytes:
    raw = bytearray(POWER9.to_bytes())
    raw[at : at + len(value)] = value
    return bytes(raw)


@pytest.mark.parametrize(
    ("raw", "name", "field", "offset"),
    [
        (patched(0, b"\0"), "HDIF", "magic", 0),
        (patched(2, b"TPMREL"), "IPLPMS", "eye_catcher", 2),
        (patched(0x0A, b"\0\x5f"), "IPLPMS", "version", 0x0A),
        (patched(0x18, b"\0\0"), "IPLPMS", "pointer_count", 0x18),
        (patched(0x1A, b"\0\1"), "IPLPMS", "child_count", 0x1A),
        (patched(0x24, struct.pack(">I", 327)), "IPLPMS", "system", 0x30),
        (patched(0x24, struct.pack(">I", 329)), "HDIF", "pointer", 0x20),
        (patched(PART + 134, b"\0\x41"), "IPLPMS", "hw_key_hash_size", 134),
        (POWER9.to_bytes() + b"\0", "IPLPMS", "end", 376),
    ],
)
def test_refusals(raw: bytes, name: str, field: str, offset: int) -> None:
    with pytest.raises(FormatError) as caught:
        IplParameters.from_bytes(raw)
    error = caught.value
    assert (error.format_name, error.field, error.offset) == (name, field, offset)


@pytest.mark.parametrize("size", [0, 327, 329])
def test_system_parameters_of_another_size(size: int) -> None:
    with pytest.raises(FormatError) as caught:
        SystemParameters.from_bytes(bytes(size))
    assert caught.value.field == "system"


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"hw_key_hash_size": 65}, "hw_key_hash_size"),
        ({"effective_pvr": 2**32}, "value"),
        ({"sys_sec_setting": -1}, "value"),
        ({"hw_key_hash": bytes(63)}, "value"),
        ({"sys_type": bytes(65)}, "value"),
    ],
)
def test_values_that_do_not_fit(wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(FormatError) as caught:
        replace(SECURE, **wrong).to_bytes()
    assert caught.value.field == field


def test_a_version_without_security_settings_is_not_written() -> None:
    with pytest.raises(FormatError) as caught:
        replace(POWER9, version=0x5F).to_bytes()
    assert caught.value.field == "version"


def test_where_the_fields_are() -> None:
    places, at = {}, 0
    for name, size in iplparams.SYSTEM_FIELDS:
        places[name] = at
        at += size
    assert at == iplparams.SYSTEM_SIZE == 328
    assert places["sys_sec_setting"] == 128
    assert places["hw_key_hash_size"] == 134
    assert places["hw_key_hash"] == 136
