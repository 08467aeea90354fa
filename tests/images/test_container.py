"""Container header: vectors, round trips, every refusal of the parser."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from container_matrix import BOOT_CHAIN, SOFTWARE_AT, put_bytes, table
from pefstack.images import container
from pefstack.images.container import (
    ContainerHeader,
    HardwareHeader,
    PrefixHeader,
    SoftwareHeader,
)
from pefstack.images.container_peek import (
    announced_payload_size,
    payload_hash_of,
    with_payload_hash,
)
from pefstack.images.errors import FormatError
from strategies import (
    container_headers,
    hardware_headers,
    prefix_headers,
    software_headers,
)

CONTAINERS = BOOT_CHAIN / "containers"
EXPECTED = json.loads((CONTAINERS / "expected.json").read_text())
HBB = (CONTAINERS / "good" / "hbb-1sw.stb").read_bytes()
BOOTKERNEL = (CONTAINERS / "good" / "bootkernel-3sw.stb").read_bytes()
SKIBOOT = (CONTAINERS / "skiboot" / "t.container").read_bytes()
VERSION_1 = [name for name in EXPECTED if not name.startswith("good/v")]


def refusal(raw: bytes) -> FormatError:
    with pytest.raises(FormatError) as caught:
        ContainerHeader.from_prefix(raw)
    assert caught.value.format_name == "secure boot container"
    return caught.value


@pytest.mark.parametrize("name", ["good/hbb-1sw.stb", "good/bootkernel-3sw.stb"])
def test_vectors_from_the_field(name: str) -> None:
    raw, known = (CONTAINERS / name).read_bytes(), EXPECTED[name]
    header = ContainerHeader.from_prefix(raw)
    assert header.to_bytes() == raw[:4096]
    keys = hashlib.sha512(b"".join(header.hardware.hw_keys)).hexdigest()
    assert keys == known["hw_keys_sha512"]
    assert header.hardware.container_size == len(raw)
    assert header.prefix.sw_key_count == known["sw_key_count"] == len(header.sw_keys)
    assert header.prefix.payload_hash.hex() == known["sw_keys_sha512"]
    prefix = hashlib.sha512(header.prefix.to_bytes()).hexdigest()
    assert prefix == known["prefix_header_sha512"]
    software = hashlib.sha512(header.software.to_bytes()).hexdigest()
    assert software == known["sw_header_sha512"]
    assert header.software.component_id == known["component_id"].encode()
    assert header.label == known["component_id"].rstrip("\0")
    for field in ("security_version", "code_start_offset", "payload_size"):
        assert getattr(header.software, field) == known[field]
    assert header.software.payload_hash.hex() == known["payload_sha512"]


@pytest.mark.parametrize("name", VERSION_1)
def test_every_vector_is_written_as_it_was_read(name: str) -> None:
    raw = (CONTAINERS / name).read_bytes()
    if "magic" in name or "container-version" in name:
        assert refusal(raw).field in ("magic", "version")
    else:
        assert ContainerHeader.from_prefix(raw).to_bytes() == raw[:4096]


def test_skiboots_container_without_keys() -> None:
    """What its .out file prints: version 1, no key, everything else zero."""
    header = ContainerHeader.from_prefix(SKIBOOT)
    keys = hashlib.sha512(b"".join(header.hardware.hw_keys)).hexdigest()
    printed = (CONTAINERS / "skiboot" / "t.container.out").read_text()
    assert keys in "".join(printed.split())
    assert header.hardware == HardwareHeader(
        container_size=0, hw_keys=tuple([bytes(132)] * 3)
    )
    assert header.prefix == PrefixHeader(
        flags=0, sw_key_count=0, payload_size=0, payload_hash=bytes(64)
    )
    assert (header.sw_keys, header.sw_signatures, header.padding) == ((), (), b"")
    assert header.software.version == header.software.hash_alg == 0
    assert header.to_bytes() == SKIBOOT
    assert announced_payload_size(SKIBOOT) is None


@pytest.mark.parametrize("number", [2, 3])
def test_later_versions_are_refused(number: int) -> None:
    name = f"v{number}-boot-ecdsa-only.stb"
    refused = refusal((CONTAINERS / "good" / name).read_bytes())
    assert (refused.field, refused.offset) == ("version", 4)
    assert (refused.found, refused.expected) == (f"0x{number:x}", "0x1")


@given(container_headers())
def test_round_trip(header: ContainerHeader) -> None:
    raw = header.to_bytes()
    assert len(raw) == 4096
    assert ContainerHeader.from_prefix(raw) == header
    assert ContainerHeader.from_prefix(raw + b"payload") == header


@given(hardware_headers(), prefix_headers(2, 1), software_headers(0))
def test_parts_have_their_sizes(
    hardware: HardwareHeader, prefix: PrefixHeader, software: SoftwareHeader
) -> None:
    sizes = [len(each.to_bytes()) for each in (hardware, prefix, software)]
    assert sizes == [426, 98, 98]


@given(container_headers(), st.integers(0, 4095))
def test_cut_short(header: ContainerHeader, size: int) -> None:
    refused = refusal(header.to_bytes()[:size])
    assert (refused.field, refused.offset) == ("header", 0)


@given(
    st.binary(max_size=512).map(lambda noise: noise.ljust(4096, noise[-1:] or b"\0"))
    | st.binary(max_size=600).map(lambda noise: put_bytes(HBB[:4096], 420, noise))
    | st.binary(max_size=4200)
)
def test_noise_is_refused_politely(raw: bytes) -> None:
    with suppress(FormatError):
        header = ContainerHeader.from_prefix(raw)
        assert header.to_bytes() == raw[:4096]


@given(st.integers(0, 4095), st.integers(1, 255))
def test_a_changed_byte_is_refused_or_kept(at: int, change: int) -> None:
    raw = put_bytes(BOOTKERNEL[:4096], at, bytes([BOOTKERNEL[at] ^ change]))
    with suppress(FormatError):
        assert ContainerHeader.from_prefix(raw).to_bytes() == raw


@pytest.mark.parametrize(
    ("at", "value", "field", "offset"),
    [
        (0, "17082010", "magic", 0),
        (4, "0000", "version", 4),
        (523, "ff", "prefix ECIDs", 524),
        (523, "dc", "hardware signatures", 524 + 16 * 0xDC),
        (450, "ff", "software keys", 920),
        (450, "18", "software header", 920 + 132 * 24),
        (1149, "ff", "software ECIDs", 1150),
        (1149, "b8", "software signatures", 1150 + 16 * 0xB8),
    ],
)
def test_refusal(at: int, value: str, field: str, offset: int) -> None:
    refused = refusal(put_bytes(HBB, at, bytes.fromhex(value)))
    assert (refused.field, refused.offset) == (field, offset)


def test_a_short_header_is_refused() -> None:
    refused = refusal(HBB[:4095])
    assert (refused.field, refused.offset) == ("header", 0)
    assert (refused.found, refused.expected) == ("0xfff bytes", "0x1000 bytes")


@pytest.mark.parametrize(
    ("part", "field", "value"),
    [
        ("hardware", "magic", 1 << 32),
        ("hardware", "version", 1 << 16),
        ("hardware", "container_size", 1 << 64),
        ("hardware", "target_hrmor", -1),
        ("hardware", "hw_keys", (bytes(132),) * 2),
        ("hardware", "hw_keys", (bytes(131),) * 3),
        ("prefix", "hash_alg", 256),
        ("prefix", "flags", 1 << 32),
        ("prefix", "payload_hash", bytes(65)),
        ("software", "security_version", 256),
        ("software", "payload_size", 1 << 64),
        ("software", "component_id", bytes(7)),
    ],
)
def test_a_value_that_does_not_fit_is_refused(
    part: str, field: str, value: object
) -> None:
    header = ContainerHeader.from_prefix(HBB)
    changed = replace(getattr(header, part), **{field: value})
    with pytest.raises(FormatError) as caught:
        changed.to_bytes()
    assert caught.value.format_name == "secure boot container"
    assert field in str(caught.value)


@pytest.mark.parametrize("sizes", [(131, 133, 132), (396,), (132, 264), (66,) * 6])
def test_keys_of_other_sizes_are_refused(sizes: tuple[int, ...]) -> None:
    header = ContainerHeader.from_prefix(HBB)
    changed = replace(header.hardware, hw_keys=tuple(bytes(each) for each in sizes))
    with pytest.raises(FormatError) as caught:
        changed.to_bytes()
    assert (caught.value.field, caught.value.offset) == ("hw_keys", 0)
    assert f"0x{sizes[0]:x}" in caught.value.found


@pytest.mark.parametrize(
    ("field", "value", "name", "offset"),
    [
        ("prefix_ecids", bytes(16), "prefix ECIDs", 524),
        ("hw_signatures", (bytes(132),) * 2, "hardware signatures", 524),
        ("sw_keys", (), "software keys", 920),
        ("sw_keys", (bytes(132),) * 2, "software keys", 920),
        ("software_ecids", bytes(1), "software ECIDs", 1150),
        ("sw_signatures", (bytes(131),), "software signatures", 1150),
        ("padding", b"\1" * 2815, "header", 0),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(
    field: str, value: Any, name: str, offset: int
) -> None:
    header = ContainerHeader.from_prefix(HBB)
    with pytest.raises(FormatError) as caught:
        replace(header, **{field: value}).to_bytes()
    assert (caught.value.field, caught.value.offset) == (name, offset)


def test_padding_up_to_the_end_is_kept() -> None:
    full = replace(ContainerHeader.from_prefix(HBB), padding=b"\1" * 2814)
    assert ContainerHeader.from_prefix(full.to_bytes()) == full


def test_padding_stays_where_it_is() -> None:
    field = table(1)[-1]
    raw = put_bytes(HBB[:4096], field.offset + 7, b"x")
    header = ContainerHeader.from_prefix(raw)
    assert header.padding == bytes(7) + b"x"
    assert header.to_bytes() == raw


@pytest.mark.parametrize(("raw", "count"), [(HBB, 1), (BOOTKERNEL, 3)])
def test_announced_payload_size(raw: bytes, count: int) -> None:
    assert announced_payload_size(raw[:4096]) == len(raw) - 4096
    changed = put_bytes(raw[:4096], SOFTWARE_AT[count] + 25, b"\xff" * 8)
    assert announced_payload_size(changed) == (1 << 64) - 1


@pytest.mark.parametrize("count", [0, 4, 255])
def test_no_payload_size_without_a_place_for_it(count: int) -> None:
    assert announced_payload_size(put_bytes(HBB[:4096], 450, bytes([count]))) is None


@pytest.mark.parametrize(("raw", "at"), [(HBB, 1085), (BOOTKERNEL, 1349)])
def test_another_payload_hash(raw: bytes, at: int) -> None:
    """1085 with one key (boot-chain.md 1.1), two keys more with three."""
    assert payload_hash_of(raw[:4096]) == raw[at : at + 64]
    header = with_payload_hash(raw[:4096], b"\xaa" * 64)
    assert header == put_bytes(raw[:4096], at, b"\xaa" * 64)
    parsed = ContainerHeader.from_prefix(header)
    assert parsed.software.payload_hash == payload_hash_of(header) == b"\xaa" * 64


@pytest.mark.parametrize("header", [bytes(4096), b"\xff" * 4096], ids=["0", "ff"])
def test_no_container_has_a_place_for_a_hash_too(header: bytes) -> None:
    """Security off: what lies there is measured, and the hash is kept in memory."""
    changed = with_payload_hash(header, b"\xaa" * 64)
    assert payload_hash_of(changed) == b"\xaa" * 64
    assert changed == put_bytes(header, 1085, b"\xaa" * 64)


def test_a_label_that_is_no_text_is_still_shown() -> None:
    header = ContainerHeader.from_prefix(put_bytes(HBB, 1064, b"\xffBB\0\0\0\0\0"))
    assert header.label == "\ufffdBB"


def test_constants_agree_with_the_table() -> None:
    places = {field.name: field.offset for field in table(3)}
    assert places["prefix.version"] == container.PREFIX_OFFSET
    assert places["hw_sig_a"] == container.HW_SIGNATURES_OFFSET
    assert places["sw_pkey_p"] == container.SW_KEYS_OFFSET
