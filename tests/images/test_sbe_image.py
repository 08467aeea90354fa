"""An SBE image for one machine: settings put in, containers checked."""

from __future__ import annotations

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pefstack.images.container_peek import (
    begins_like_container,
    hw_flags_of,
    security_version_of,
)
from pefstack.images.errors import FormatError
from pefstack.images.hbbl_area import build_area, hw_key_hash_of
from pefstack.images.rejection import Rejection, VerificationError
from pefstack.images.sb_settings import SbSettings
from pefstack.images.sbe_image import customised, security_version, verify_sbe_image
from pefstack.images.signing import SigningOptions, sign_header
from pefstack.images.xip import XipImage, begins_like_image
from pefstack.images.xip_build import build_image
from strategies import imprint_keys

BASE, SBV, HBBL = b"base" * 9, b"verification", b"hbbl" * 5
HASH: Final = imprint_keys().hw_key_hash


def padded(raw: bytes) -> bytes:
    return raw + bytes(-len(raw) % 8)


def header(payload: bytes, label: str, version: int) -> bytes:
    options = SigningOptions(label=label, security_version=version)
    return sign_header(payload, imprint_keys(), options)


def image(changes: dict[str, bytes] | None = None, version: int = 2) -> XipImage:
    """Signed for the profile patent, settings blank."""
    sections = {
        "base": BASE,
        "hbbl": HBBL,
        "sb_verification": SBV,
        "sb_settings": bytes(72),
        "sbh_firmware": header(padded(BASE) + padded(SBV), "SBE_FW", version),
        "sbh_hbbl": header(padded(HBBL), "HBBL", version),
    }
    return build_image(
        {f".{n}": raw for n, raw in (sections | (changes or {})).items()}
    )


def test_settings_go_in_and_nothing_else_changes() -> None:
    before = image()
    settings = SbSettings(hw_key_hash=HASH, minimum_secure_version=1)
    after = customised(before, settings, power9=False)
    assert after.section(".sb_settings") == settings.to_bytes()
    names = set(before.sections) - {".sb_settings"}
    assert all(after.section(name) == before.section(name) for name in names)
    assert XipImage.from_bytes(after.to_bytes()) == after
    verify_sbe_image(after, settings, patent=True)


def test_on_power9_the_key_hash_goes_to_the_end_of_the_area() -> None:
    area = build_area(HBBL, b"rom", bytes(64))
    before = build_image({".base": BASE, ".hbbl": area})
    after = customised(before, SbSettings(hw_key_hash=HASH), power9=True)
    assert hw_key_hash_of(after.section(".hbbl")) == HASH
    assert after.section(".hbbl")[:-64] == area[:-64]
    assert after.section(".base") == BASE


@pytest.mark.parametrize("power9", [True, False])
def test_an_image_without_a_place_for_settings_is_refused(power9: bool) -> None:
    with pytest.raises(FormatError):
        customised(
            build_image({".base": BASE, ".hbbl": HBBL, ".sb_settings": bytes(8)}),
            SbSettings(hw_key_hash=HASH),
            power9=power9,
        )


def test_the_version_is_that_of_the_sbe_firmware() -> None:
    assert security_version(image(version=7)) == 7
    with pytest.raises(FormatError):
        security_version(image({"sbh_firmware": b"short"}))


@pytest.mark.parametrize(
    ("changes", "least", "patent", "rejection"),
    [
        ({}, 3, True, Rejection.SECURE_VERSION),
        ({}, 2, False, Rejection.SW_PAYLOAD_SIZE),
        ({"base": b"BASE" * 9}, 2, True, Rejection.HEADER_HASH),
        ({"sb_verification": b"Verification"}, 2, True, Rejection.HEADER_HASH),
        ({"hbbl": b"HBBL" * 5}, 2, True, Rejection.HEADER_HASH),
        ({"sbh_hbbl": header(padded(HBBL), "HBB", 2)}, 2, True, Rejection.COMPONENT_ID),
        (
            {"sbh_hbbl": header(padded(HBBL), "HBBL", 1)},
            2,
            True,
            Rejection.SECURE_VERSION,
        ),
        ({"sbh_firmware": bytes(4096)}, 2, True, Rejection.MAGIC_NUMBER),
    ],
)
def test_what_the_sbe_would_reject(
    changes: dict[str, bytes], least: int, patent: bool, rejection: Rejection
) -> None:
    settings = SbSettings(hw_key_hash=HASH, minimum_secure_version=least)
    with pytest.raises(VerificationError) as caught:
        verify_sbe_image(image(changes), settings, patent=patent)
    assert caught.value.rejection is rejection


def test_other_keys_are_rejected() -> None:
    with pytest.raises(VerificationError) as caught:
        verify_sbe_image(image(), SbSettings(hw_key_hash=bytes(64)), patent=True)
    assert caught.value.rejection is Rejection.HW_KEY_HASH


@given(st.binary(min_size=1, max_size=64))
def test_a_section_changes_in_its_place_and_size(content: bytes) -> None:
    before = build_image({".base": bytes(len(content)), ".hbbl": HBBL})
    after = before.with_section(".base", content)
    at = before.offset(".base")
    assert after.raw[at : at + len(content)] == content
    assert after.raw[:at] == before.raw[:at]
    assert after.raw[at + len(content) :] == before.raw[at + len(content) :]
    with pytest.raises(FormatError):
        before.with_section(".base", content + b"1")


def test_what_an_untrusted_header_announces() -> None:
    options = SigningOptions(label="X", sw_key_count=3, hw_flags=5, security_version=9)
    raw = sign_header(b"1234", imprint_keys(), options)
    assert (hw_flags_of(raw), security_version_of(raw)) == (5, 9)
    assert begins_like_container(raw) and not begins_like_container(raw[1:])
    assert begins_like_image(image().raw) and not begins_like_image(raw)
    assert not begins_like_image(b"") and not begins_like_container(b"")
