"""XIP image: an image written out by hand, round trips, every refusal."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pefstack.images.errors import FormatError
from pefstack.images.xip import (
    HEADER_SIZE,
    SECTION_NAMES,
    XipHeader,
    XipImage,
    XipSection,
)
from pefstack.images.xip_build import build_image

NAMES = st.sampled_from(SECTION_NAMES[1:])
U32 = st.integers(0, 2**32 - 1)
U64 = st.integers(0, 2**64 - 1)
SETTINGS = 21  # places in the section table
VERIFICATION = 22


def by_hand(**changed: bytes) -> bytes:
    """An image of 0x1f8 bytes with .sb_settings and .sb_verification."""
    places = {0: (0, 456, 8, 0, b""), SETTINGS: (0x1C8, 8, 8, 0, b"")}
    places[VERIFICATION] = (0x1E0, 0x13, 16, 1, b"zz")
    absent = (0, 0, 1, 0, b"")
    table = b"".join(
        struct.pack(">IIBB2s", *places.get(number, absent)) for number in range(24)
    )
    parts = {
        "magic": b"XIP SEPM",
        "entry": bytes.fromhex("00000000fff80048"),
        "l2": bytes.fromhex("0000000000000001"),
        "kernel": bytes.fromhex("0000000000000002"),
        "data": bytes.fromhex("0000000000000003"),
        "link": bytes.fromhex("00000000fff80000"),
        "reserved": bytes(16),
        "table": table,
        "image_size": bytes.fromhex("000001f8"),
        "build": struct.pack(">II20s", 20240102, 1530, b"tag"),
        "version": b"\2",
        "flags": bytes([1, 1, 0, 0, 0, 0, 0]),
        "text": b"user".ljust(16, b"\0") + b"host".ljust(32, b"\0") + b"commit64",
        "reserved_text": bytes(8),
        "settings": b"settings",
        "hole": bytes(16),
        "verification": b"verification code..",
        "end": bytes(5),
    }
    return b"".join((parts | changed).values())


def table_with(number: int, *entry: int) -> bytes:
    raw = by_hand()
    at = 64 + 12 * number
    return raw[64:at] + struct.pack(">IIBBxx", *entry, 0) + raw[at + 12 : 64 + 288]


def images() -> st.SearchStrategy[XipImage]:
    return st.builds(
        build_image,
        st.dictionaries(NAMES, st.binary(max_size=40), max_size=6),
        link_address=st.integers(0, 2**40),
        alignment=st.sampled_from([8, 16, 128]),
    )


def headers() -> st.SearchStrategy[XipHeader]:
    sections = st.builds(
        XipSection,
        offset=st.integers(0, 255).map(lambda number: number * 128),
        size=st.integers(0, 0x1000),
        alignment=st.sampled_from([1, 2, 64, 128]),
        dd_support=st.integers(0, 255),
        reserved=st.binary(min_size=2, max_size=2),
    )
    return st.builds(
        XipHeader,
        l1_loader_address=U64,
        l2_loader_address=U64,
        kernel_address=U64,
        data_address=U64,
        link_address=U64,
        reserved=st.binary(min_size=16, max_size=16),
        sections=st.tuples(*[sections] * 24),
        image_size=st.just(0x10000),
        build_date=U32,
        build_time=U32,
        build_tag=st.binary(min_size=20, max_size=20),
        toc_sorted=st.integers(0, 255),
        build_host=st.binary(min_size=32, max_size=32),
    )


def refusal(raw: bytes) -> tuple[str, int]:
    with pytest.raises(FormatError) as caught:
        XipImage.from_bytes(raw)
    assert caught.value.format_name == "XIP image"
    return caught.value.field, caught.value.offset


def test_by_hand() -> None:
    image = XipImage.from_bytes(by_hand())
    header = image.header
    assert image.entry_pointer == header.l1_loader_address == 0xFFF80048
    assert header.link_address == 0xFFF80000
    assert (header.l2_loader_address, header.kernel_address) == (1, 2)
    assert header.data_address == 3
    assert (header.build_date, header.build_time) == (20240102, 1530)
    assert (header.normalized, header.toc_sorted) == (1, 1)
    assert header.build_head_commit == b"commit64"
    assert header.sections[VERIFICATION].dd_support == 1
    assert header.sections[VERIFICATION].reserved == b"zz"
    assert list(image.sections) == [".header", ".sb_settings", ".sb_verification"]
    assert image.section(".sb_settings") == b"settings"
    assert image.section(".sb_verification") == b"verification code.."
    assert image.to_bytes() == by_hand()
    assert header.to_bytes() == by_hand()[:456]


def test_absent_section() -> None:
    image = XipImage.from_bytes(by_hand())
    for name in (".hbbl", ".nothing"):
        with pytest.raises(FormatError) as caught:
            image.section(name)
        assert (caught.value.field, caught.value.offset) == (name, 64)


def test_size_zero_is_absent_wherever_it_stands() -> None:
    raw = by_hand(table=table_with(SETTINGS, 0xFFFFFFFF, 0, 3))
    assert ".sb_settings" not in XipImage.from_bytes(raw).sections


def test_prefix_of_a_larger_memory() -> None:
    image, size = XipImage.from_prefix(by_hand() + b"\xff" * 1000)
    assert size == 0x1F8
    assert image == XipImage.from_bytes(by_hand())


@given(images())
def test_round_trip(image: XipImage) -> None:
    assert XipImage.from_bytes(image.to_bytes()) == image


@given(headers())
def test_header_round_trip(header: XipHeader) -> None:
    assert XipHeader.from_prefix(header.to_bytes()) == (header, HEADER_SIZE)


@given(images(), st.data())
def test_cut_short(image: XipImage, data: st.DataObject) -> None:
    raw = image.to_bytes()
    with pytest.raises(FormatError):
        XipImage.from_bytes(raw[: data.draw(st.integers(0, len(raw) - 1))])


@given(st.binary(max_size=600) | st.binary(max_size=600).map(lambda b: b"XIP SEPM" + b))
def test_noise_is_refused_politely(raw: bytes) -> None:
    with suppress(FormatError):
        XipImage.from_bytes(raw)


@given(st.binary(min_size=288, max_size=288), U32)
def test_noise_in_the_table_is_refused_politely(table: bytes, size: int) -> None:
    with suppress(FormatError):
        XipImage.from_bytes(by_hand(table=table, image_size=size.to_bytes(4, "big")))


@pytest.mark.parametrize("magic", [b"XIP   HW", b"XIP  SBE", bytes(8), b""])
def test_other_magic(magic: bytes) -> None:
    assert refusal(by_hand(magic=magic)) == ("magic", 0)


def test_other_version() -> None:
    assert refusal(by_hand(version=b"\1")) == ("header_version", 384)


@pytest.mark.parametrize("size", [0, 448, 0x1F1, 0x200, 0xFFFFFFF8])
def test_image_size(size: int) -> None:
    raw = by_hand(image_size=size.to_bytes(4, "big"), table=bytes(288))
    assert refusal(raw) == ("image_size", 352)


def test_left_over_bytes() -> None:
    assert refusal(by_hand() + b"\0") == ("end", 0x1F8)


@pytest.mark.parametrize(
    ("offset", "size"),
    [(0x1C8, 0x31), (0x1F8, 1), (0xFFFFFFF8, 8), (8, 0xFFFFFFFF), (0xFFFFFFF8, 16)],
)
def test_section_past_the_end(offset: int, size: int) -> None:
    raw = by_hand(table=table_with(SETTINGS, offset, size, 8))
    assert refusal(raw) == ("section .sb_settings", 64 + 12 * SETTINGS)


def test_spare_place_is_checked_too() -> None:
    raw = by_hand(table=table_with(23, 0x1C8, 0x31, 8))
    assert refusal(raw) == ("section 23", 64 + 12 * 23)


@pytest.mark.parametrize("alignment", [0, 3, 24, 255])
def test_alignment_that_is_none(alignment: int) -> None:
    raw = by_hand(table=table_with(SETTINGS, 0x1C8, 8, alignment))
    assert refusal(raw) == ("alignment of .sb_settings", 64 + 12 * SETTINGS + 8)


def test_section_that_is_not_aligned() -> None:
    raw = by_hand(table=table_with(SETTINGS, 0x1C8, 8, 16))
    assert refusal(raw) == ("offset of .sb_settings", 64 + 12 * SETTINGS)


@given(images())
def test_built_image_is_normal(image: XipImage) -> None:
    end = HEADER_SIZE
    for section in image.header.sections[1:]:
        if section.size:
            assert section.offset % section.alignment == 0
            assert not any(image.raw[end : section.offset])
            end = section.offset + section.size
    assert image.header.image_size == len(image.raw) == -(-end // 8) * 8


def test_builder_points_at_the_loader() -> None:
    sections = {".loader_text": b"code", ".base": b"base"}
    image = build_image(sections, link_address=0xFFF80000)
    assert image.entry_pointer == 0xFFF80000 + 456
    assert build_image(sections, entry_pointer=7).entry_pointer == 7
    assert image.section(".base") == b"base"


@pytest.mark.parametrize("name", [".nothing", ".header", "sb_settings"])
def test_builder_refuses_unknown_sections(name: str) -> None:
    with pytest.raises(FormatError) as caught:
        build_image({name: b"x"})
    assert (caught.value.field, caught.value.found) == ("sections", name)


@pytest.mark.parametrize("alignment", [0, 4, 24, 256])
def test_builder_refuses_other_alignments(alignment: int) -> None:
    with pytest.raises(FormatError) as caught:
        build_image({}, alignment=alignment)
    assert caught.value.field == "alignment"


def test_builder_refuses_what_no_seeprom_holds() -> None:
    with pytest.raises(FormatError) as caught:
        build_image({".base": bytes((1 << 24) + 1)})
    assert (caught.value.field, caught.value.found) == ("image_size", "0x1000001")


def test_values_that_do_not_fit() -> None:
    with pytest.raises(FormatError) as caught:
        build_image({}, link_address=2**64)
    assert caught.value.field == "l1_loader_address"
    with pytest.raises(FormatError) as caught:
        XipSection(offset=2**32).to_bytes()
    assert caught.value.field == "section"
