"""Verification: what passes, what a rejection says, arbitrary bytes, nothing kept."""

from __future__ import annotations

import hashlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rom_model
from container_matrix import (
    BOOT_CHAIN,
    HW_KEY_HASH,
    hash_payload,
    put_bytes,
    sign_prefix,
    sign_software,
)
from pefstack.images.container_verify import (
    HBBL,
    SBE_FW,
    log_word,
    rom_verify,
    sbe_verify,
)
from pefstack.images.errors import FormatError
from pefstack.images.rejection import Rejection, VerificationError
from pefstack.images.signing import SigningOptions, sign_header
from strategies import imprint_keys

GOOD = BOOT_CHAIN / "containers" / "good"
HBB = (GOOD / "hbb-1sw.stb").read_bytes()
BOOTKERNEL = (GOOD / "bootkernel-3sw.stb").read_bytes()
SKIBOOT = (BOOT_CHAIN / "containers" / "skiboot" / "t.container").read_bytes()
PLACES = {HBBL: b"HBBL", SBE_FW: b"SBE_FW"}


def rejected(raw: bytes, minimum: int = 0) -> VerificationError:
    with pytest.raises(VerificationError) as caught:
        rom_verify(raw, HW_KEY_HASH, minimum)
    return caught.value


def test_a_good_container_shows_its_headers() -> None:
    verified = rom_verify(BOOTKERNEL, HW_KEY_HASH, 7)
    assert verified.prefix.sw_key_count == 3
    assert verified.prefix.payload_hash == BOOTKERNEL[459:523]
    assert verified.software.security_version == 7
    assert verified.software.component_id == b"BOOTKERN"
    assert verified.software.payload_size == len(BOOTKERNEL) - 4096
    assert verified.software.payload_hash == BOOTKERNEL[1349:1413]


def test_any_buffer_is_taken() -> None:
    for raw in (bytearray(HBB), memoryview(HBB)):
        assert rom_verify(raw, HW_KEY_HASH, 0).software.code_start_offset == 0x180


@pytest.mark.parametrize("size", [0, 1, 4095])
def test_less_than_a_header_is_no_container(size: int) -> None:
    with pytest.raises(FormatError) as by_rom:
        rom_verify(HBB[:size], HW_KEY_HASH, 0)
    with pytest.raises(FormatError) as by_sbe:
        sbe_verify(HBB[:size], b"", HBBL, HW_KEY_HASH, 0)
    for refused in (by_rom.value, by_sbe.value):
        assert (refused.field, refused.offset) == ("header", 0)
        assert refused.found == f"0x{size:x} bytes"


@pytest.mark.parametrize("number", [2, 3])
def test_later_versions_are_rejected(number: int) -> None:
    raw = (GOOD / f"v{number}-boot-ecdsa-only.stb").read_bytes()
    assert log_word(raw, HW_KEY_HASH, 0) == 0xFFFFFFFFFFFF8121


def test_a_container_without_keys_is_rejected() -> None:
    """skiboot's own: its key hash may be fused, then it has no valid signature."""
    fused = hashlib.sha512(bytes(396)).digest()
    assert log_word(SKIBOOT, HW_KEY_HASH, 0) == 0xFFFFFFFFFFFF8160
    assert log_word(SKIBOOT, fused, 0) == 0xFFFFFFFFFFFF8161


def test_a_rejection_shows_both_hashes_in_full() -> None:
    refused = rejected(put_bytes(HBB, 5000, b"x"))
    assert refused.rejection is Rejection.HEADER_HASH
    assert refused.expected == HBB[1085:1149].hex()
    changed = put_bytes(HBB, 5000, b"x")[4096:]
    assert refused.found == hashlib.sha512(changed).hexdigest()
    keys = rejected(put_bytes(HBB, 30, b"x"))
    assert keys.expected == HW_KEY_HASH.hex()


def test_a_cut_payload_is_rejected() -> None:
    refused = rejected(HBB[:-1])
    assert refused.rejection is Rejection.HEADER_HASH
    assert (refused.found, refused.expected) == (
        "0x1f11 bytes of payload",
        "at most 0x1f10",
    )


def test_the_wrong_signature_is_named() -> None:
    assert rejected(put_bytes(HBB, 850, b"x")).found == "signature 2 wrong"
    assert rejected(put_bytes(BOOTKERNEL, 1560, b"x")).found == "signature 1 wrong"


def test_bytes_behind_the_payload_are_ignored() -> None:
    assert log_word(HBB + b"tail", HW_KEY_HASH, 0) == 0x103


def test_the_verdict_follows_the_bytes_each_time() -> None:
    raw = bytearray(HBB)
    for _ in range(2):
        assert log_word(raw, HW_KEY_HASH, 0) == 0x103
        raw[4096] ^= 1
        assert log_word(raw, HW_KEY_HASH, 0) == 0xFFFFFFFFFFFF8172
        raw[4096] ^= 1
        raw[600] ^= 1
        assert log_word(raw, HW_KEY_HASH, 0) == 0xFFFFFFFFFFFF8161
        raw[600] ^= 1


@pytest.mark.parametrize(("place", "mine"), [(HBBL, "a"), (SBE_FW, "c")])
def test_the_sbe_checks_one_hardware_signature(place: bytes, mine: str) -> None:
    payload = b"code" * 4
    label = PLACES[place].decode()
    good = sign_header(payload, imprint_keys(), SigningOptions(label=label))
    for name, at in {"a": 524, "b": 656, "c": 788}.items():
        header = put_bytes(good, at, bytes(132))
        if name == mine:
            with pytest.raises(VerificationError) as caught:
                sbe_verify(header, payload, place, HW_KEY_HASH, 0)
            assert caught.value.rejection is Rejection.HW_SIGNATURE
        else:
            sbe_verify(header, payload, place, HW_KEY_HASH, 0)


def test_the_sbe_has_no_check_of_the_entry_against_the_size() -> None:
    """A payload of no byte: 0x73 for the ROM code, good for the SBE (1.4)."""
    header = sign_header(b"", imprint_keys(), SigningOptions(label="HBBL"))
    sbe_verify(header, b"", HBBL, HW_KEY_HASH, 0)
    assert rejected(header).rejection is Rejection.CODE_PROTECTION


def test_the_sbe_wants_its_ecids_gone_before_the_signature() -> None:
    options = SigningOptions(label="HBBL")
    header = sign_header(b"code", imprint_keys(), options)
    header = put_bytes(header, 1149, b"\1")
    with pytest.raises(VerificationError) as caught:
        sbe_verify(header, b"code", HBBL, HW_KEY_HASH, 0)
    assert caught.value.rejection is Rejection.HEADER_ECID
    assert rejected(header + b"code").rejection is Rejection.SW_SIGNATURE


@pytest.mark.parametrize(
    ("entry", "size", "code"),
    [
        (0, 3, 0x73),
        (0, 4, 0),
        (4, 7, 0x73),
        (4, 8, 0),
        (2, 8, 0x80),
        (1 << 63, 8, 0x80),
        ((1 << 63) - 4, 8, 0x73),
        ((1 << 64) - 4, 8, 0x80),
    ],
)
def test_entry_point_bounds(entry: int, size: int, code: int) -> None:
    """Up to the largest entry point that is not negative."""
    payload = bytes(size)
    options = SigningOptions(label="HBB", code_start_offset=entry)
    raw = sign_header(payload, imprint_keys(), options) + payload
    assert rom_model.rom_code(raw, HW_KEY_HASH, 0) == code
    assert log_word(raw, HW_KEY_HASH, 0) == rom_model.log_word(code)


@pytest.mark.parametrize("minimum", [0, 7, 8, 255])
def test_minimum_secure_version(minimum: int) -> None:
    code = 0 if minimum <= 7 else 0x90
    assert log_word(BOOTKERNEL, HW_KEY_HASH, minimum) == rom_model.log_word(code)


@given(st.integers(0, 4095), st.integers(1, 255), st.integers(0, 255))
def test_any_changed_byte_gives_the_models_word(
    at: int, change: int, minimum: int
) -> None:
    raw = put_bytes(BOOTKERNEL, at, bytes([BOOTKERNEL[at] ^ change]))
    code = rom_model.rom_code(raw, HW_KEY_HASH, minimum)
    assert log_word(raw, HW_KEY_HASH, minimum) == rom_model.log_word(code)


@given(st.integers(0, 97), st.integers(1, 255), st.binary(max_size=40))
def test_any_signed_software_header_gives_the_models_word(
    at: int, change: int, payload: bytes
) -> None:
    header = put_bytes(HBB[:4096], 1077, len(payload).to_bytes(8, "big"))
    header = put_bytes(header, 1056, bytes(8))
    header = hash_payload(header, payload)
    header = put_bytes(header, 1052 + at, bytes([header[1052 + at] ^ change]))
    raw = sign_software(header) + payload
    code = rom_model.rom_code(raw, HW_KEY_HASH, 0)
    assert log_word(raw, HW_KEY_HASH, 0) == rom_model.log_word(code)


@given(st.binary(max_size=700), st.integers(0, 1400), st.integers(0, 6000))
def test_noise_is_rejected_politely(noise: bytes, at: int, size: int) -> None:
    raw = put_bytes(BOOTKERNEL, at, noise)[:size]
    fused = hashlib.sha512(raw[30:426]).digest()
    for hw_key_hash in (HW_KEY_HASH, fused):
        with suppress(FormatError, VerificationError):
            rom_verify(raw, hw_key_hash, 0)
        for place in (HBBL, SBE_FW):
            with suppress(FormatError, VerificationError):
                sbe_verify(raw, raw[4096:], place, hw_key_hash, 0)


@given(st.binary(max_size=9000))
def test_bare_noise_is_rejected(raw: bytes) -> None:
    with pytest.raises((FormatError, VerificationError)):
        rom_verify(raw, HW_KEY_HASH, 0)


def test_more_keys_than_bytes_is_said() -> None:
    raw = sign_prefix(put_bytes(HBB[:4096], 451, b"\xff" * 8))
    refused = rejected(raw)
    assert refused.rejection is Rejection.PREFIX_HASH
    assert refused.found == "0xffffffffffffffff bytes of keys"
    assert refused.expected == "at most 0xc68"
