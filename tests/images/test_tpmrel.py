"""HDIF and the node-TPM structure: a real one, round trips, every refusal."""

from __future__ import annotations

import struct
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pefstack.images import hdif, tpmrel
from pefstack.images.errors import FormatError
from pefstack.images.event_log import EventLog
from pefstack.images.hdif import HdifHeader
from pefstack.images.tpmrel import (
    HashAndVerifyService,
    NodeTpm,
    TpmRel,
    srtm_log_ranges,
)

VECTORS = Path(__file__).parents[1] / "vectors" / "boot-chain" / "eventlog"
REAL = (VECTORS / "op920-witherspoon-tpmrel.hdif").read_bytes()
LOG = (VECTORS / "op920-witherspoon-srtm.log").read_bytes()
U8 = st.integers(0, 0xFF)
U16 = st.integers(0, 0xFFFF)
U32 = st.integers(0, 2**32 - 1)

SMALL = TpmRel(
    version=tpmrel.VERSION_POWER9,
    tpms=(NodeTpm(chip_id=1, srtm_log=b"s" * 64, drtm_log=b"d" * 8),),
    physical_presence=(2, 3),
    services=(HashAndVerifyService(type=0, offset=0x40),),
)
NONE = NodeTpm(chip_id=1, srtm_log=b"")
BIG = NodeTpm(chip_id=1, srtm_log=bytes(tpmrel.MAX_LOG_SIZE + 1))
# offsets in the bytes of SMALL: array, entry, log, links, services
ARRAY, ENTRY, LINKS, SERVICES = 0x40, 0x50, 0xB8, 0xC0


def node_tpms() -> st.SearchStrategy[NodeTpm]:
    return st.builds(
        NodeTpm,
        chip_id=U32,
        drawer_id=U32,
        localities=st.binary(min_size=4, max_size=4),
        status=U8,
        flags=U8,
        reserved=st.binary(min_size=2, max_size=2),
        srtm_log=st.binary(max_size=32),
        drtm_log=st.binary(max_size=8),
    )


def structures() -> st.SearchStrategy[TpmRel]:
    services = st.builds(
        HashAndVerifyService, type=U32, version=U32, drawer_id=U32, offset=U32
    )
    return st.builds(
        TpmRel,
        instance=U16,
        version=st.sampled_from([0x11, 0x30]),
        tpms=st.lists(node_tpms(), max_size=3).map(tuple),
        physical_presence=st.tuples(U32, U32),
        services=st.lists(services, max_size=3).map(tuple),
    )


def patched(at: int, *words: int) -> bytes:
    """SMALL with other 32-bit words at an offset."""
    raw = bytearray(SMALL.to_bytes())
    struct.pack_into(f">{len(words)}I", raw, at, *words)
    return bytes(raw)


def refusal(raw: bytes) -> tuple[str, str, int]:
    with pytest.raises(FormatError) as caught:
        TpmRel.from_bytes(raw)
    return caught.value.format_name, caught.value.field, caught.value.offset


def test_vector_from_the_field() -> None:
    value = TpmRel.from_bytes(REAL)
    assert value.to_bytes() == REAL
    (tpm,) = value.tpms
    assert tpm.srtm_log == LOG.ljust(0x10000, b"\0")
    assert tpm.localities == bytes.fromhex("a8aaa4a6")
    assert (tpm.chip_id, tpm.drawer_id, tpm.status, tpm.flags) == (0, 0, 1, 0)
    assert value.version == 0x11
    assert value.physical_presence == (0x15, 0x0D)
    services = [(each.type, each.version, each.offset) for each in value.services]
    assert services == [(0, 1, 0x40), (1, 1, 0x50)]


def test_where_the_real_log_is() -> None:
    (place,) = srtm_log_ranges(REAL + b"more")
    assert (place.start, len(place)) == (0x70, 0x10000)
    assert EventLog.from_bytes(REAL[place.start : place.stop]).to_bytes() == LOG


def test_one_for_power10() -> None:
    """Two TPMs, the second absent; every byte of it worked out here."""
    log = b"log".ljust(tpmrel.LOG_SIZE, b"\0")
    backup = NodeTpm(
        chip_id=0x0301,
        localities=bytes(4),
        status=tpmrel.STATUS_ABSENT,
        flags=tpmrel.FLAG_BACKUP,
        srtm_log=b"",
    )
    value = TpmRel(
        version=tpmrel.VERSION_POWER10,
        tpms=(NodeTpm(chip_id=0x0300, srtm_log=log), backup),
        physical_presence=(0, 0),
        services=(HashAndVerifyService(type=tpmrel.SERVICE_VERIFY, offset=0x50),),
    )
    end = 0x40 + 0x10 + 0x40 + 0x10000
    head = b"\xd1\xf0TPMREL" + struct.pack(
        ">HHIIIHHI", 0, 0x30, end + 40, 32, 32, 3, 0, 0
    )
    pointers = struct.pack(">8I", 0x40, 0x10050, end, 8, end + 8, 0x20, 0, 0)
    first = struct.pack(
        ">II4sBBH4I", 0x300, 0, b"\xa8\xaa\xa4\xa6", 1, 0, 0, 0x40, 0x10000, 0, 0
    )
    second = struct.pack(">II4sBBH4I", 0x301, 0, bytes(4), 3, 0x40, 0, 0, 0, 0, 0)
    array = struct.pack(">4I", 0x10, 2, 0x20, 0x20)
    tail = struct.pack(">2I4I4I", 0, 0, 0x10, 1, 0x10, 0x10, 1, 1, 0, 0x50)
    raw = head + pointers + array + first + second + log + tail
    assert value.to_bytes() == raw
    assert TpmRel.from_bytes(raw) == value
    assert [len(each) for each in srtm_log_ranges(raw)] == [0x10000, 0]


@given(structures())
def test_round_trip(value: TpmRel) -> None:
    assert TpmRel.from_bytes(value.to_bytes()) == value


@given(structures(), st.binary(max_size=8))
def test_prefix(value: TpmRel, more: bytes) -> None:
    raw = value.to_bytes()
    assert TpmRel.from_prefix(raw + more) == (value, len(raw))


@given(structures(), st.integers(0, 0x1000))
def test_cut_short(value: TpmRel, size: int) -> None:
    raw = value.to_bytes()
    with pytest.raises(FormatError):
        TpmRel.from_bytes(raw[: size % len(raw)])


@given(st.binary(max_size=256) | st.binary(max_size=200).map(lambda b: REAL[:32] + b))
def test_noise_is_refused_politely(raw: bytes) -> None:
    with suppress(FormatError):
        TpmRel.from_bytes(raw)


@given(st.integers(0, 0xDF), st.sampled_from([0, 1, 2, 0x7F, 0x80, 0xFF]))
def test_a_changed_byte_is_taken_or_refused_politely(at: int, value: int) -> None:
    raw = bytearray(SMALL.to_bytes())
    raw[at] = value
    with suppress(FormatError):
        TpmRel.from_bytes(raw)


@pytest.mark.parametrize(
    ("at", "words", "field", "offset"),
    [
        (0x00, [0xD1F15450], "magic", 0),
        (0x0C, [0x1F], "total_size", 0x0C),
        (0x0C, [hdif.MAX_SIZE + 1], "total_size", 0x0C),
        (0x0C, [0xE1], "total_size", 0x0C),
        (0x10, [0x1C], "header_size", 0x10),
        (0x14, [0x1F], "pointer_offset", 0x14),
        (0x14, [0xC9], "pointer_offset", 0x14),
        (0x14, [2**32 - 1], "pointer_offset", 0x14),
        (0x18, [0x410000], "pointer_count", 0x18),
        (0x20, [0x1F], "pointer", 0x20),
        (0x28, [0xD9], "pointer", 0x28),
        (0x30, [2**32 - 1, 2**32 - 1], "pointer", 0x30),
        (0x24, [0x0F], "array", ARRAY),
        (ARRAY, [0x0F], "offset", ARRAY),
        (ARRAY, [0x59], "offset", ARRAY),
        (ARRAY + 4, [hdif.MAX_ENTRY_COUNT + 1], "count", ARRAY + 4),
        (ARRAY + 4, [4], "offset", ARRAY),
        (ARRAY + 8, [0x24], "entry_size", ARRAY + 8),
        (ARRAY + 12, [0], "actual_size", ARRAY + 12),
        (SERVICES + 4, [2], "offset", SERVICES),
    ],
)
def test_refusals_of_every_hdat_structure(
    at: int, words: list[int], field: str, offset: int
) -> None:
    assert refusal(patched(at, *words)) == ("HDIF", field, offset)


@pytest.mark.parametrize(
    ("at", "words", "field", "offset"),
    [
        (0x04, [0x52454C32], "eye_catcher", 2),
        (0x08, [0x12], "version", 0x0A),
        (0x18, [0x20000], "pointer_count", 0x18),
        (0x18, [0x40000], "pointer_count", 0x18),
        (0x18, [0x30001], "child_count", 0x1A),
        (0x2C, [9], "physical_presence", LINKS),
        (ARRAY + 4, [tpmrel.MAX_TPM_COUNT + 1], "count", ARRAY + 4),
        (SERVICES + 4, [tpmrel.MAX_SERVICE_COUNT + 1], "count", SERVICES + 4),
        (ENTRY + 0x10, [0x1F], "srtm_log_offset", ENTRY + 0x10),
        (ENTRY + 0x10, [0x29], "srtm_log_offset", ENTRY + 0x10),
        (ENTRY + 0x10, [2**32 - 1], "srtm_log_offset", ENTRY + 0x10),
        (ENTRY + 0x14, [0x49], "srtm_log_offset", ENTRY + 0x10),
        (ENTRY + 0x14, [tpmrel.MAX_LOG_SIZE + 1], "srtm_log_size", ENTRY + 0x14),
        (ENTRY + 0x18, [0x61], "drtm_log_offset", ENTRY + 0x18),
        (ENTRY + 0x1C, [2**32 - 1], "drtm_log_size", ENTRY + 0x1C),
    ],
)
def test_refusals_of_this_structure(
    at: int, words: list[int], field: str, offset: int
) -> None:
    raw = patched(at, *words)
    if field == "count":  # so many entries have to fit first
        raw = roomy(at, words[0])
    assert refusal(raw) == ("TPMREL", field, offset)


def roomy(at: int, count: int) -> bytes:
    """SMALL with one part grown to 0x1000 bytes, and another count in its array."""
    raw = bytearray(SMALL.to_bytes())
    pointer = 0x20 if at < LINKS else 0x30
    start = int.from_bytes(raw[pointer : pointer + 4], "big")
    raw = raw.ljust(start + 0x1000, b"\0")
    struct.pack_into(">I", raw, 0x0C, len(raw))
    struct.pack_into(">I", raw, pointer + 4, 0x1000)
    struct.pack_into(">I", raw, at, count)
    return bytes(raw)


def test_parts_that_lie_elsewhere() -> None:
    """Pointers behind the content, parts in another order: only offsets count."""
    links = struct.pack(">II", 2, 3)
    empty = struct.pack(">4I", 0x10, 0, 0x20, 0x20)
    none = struct.pack(">4I", 0x10, 0, 0x10, 0x10)
    head = b"\xd1\xf0TPMREL" + struct.pack(
        ">HHIIIHHI", 7, 0x30, 0x60, 0x20, 0x48, 3, 0, 0x1234
    )
    pointers = struct.pack(">6I", 0x38, 0x10, 0x20, 8, 0x28, 0x10)
    value = TpmRel.from_bytes(head + links + none + empty + pointers)
    assert (value.physical_presence, value.instance) == ((2, 3), 7)
    assert (value.tpms, value.services) == ((), ())


def test_left_over_bytes() -> None:
    raw = SMALL.to_bytes()
    assert len(raw) == 0xE0
    assert refusal(raw + b"\0") == ("TPMREL", "end", 0xE0)


def test_header_that_is_cut() -> None:
    with pytest.raises(FormatError) as caught:
        HdifHeader.from_prefix(REAL[:0x1F])
    assert (caught.value.field, caught.value.offset) == ("header", 0)


@pytest.mark.parametrize(
    ("wrong", "field", "offset"),
    [
        ({"instance": 0x10000}, "value", 0),
        ({"physical_presence": (0, 2**32)}, "value", 0),
        ({"version": 0x12}, "version", 0x0A),
        ({"tpms": (NodeTpm(chip_id=-1, srtm_log=b""),)}, "value", 0),
        ({"tpms": (NodeTpm(chip_id=1, srtm_log=b"", reserved=b"a"),)}, "value", 0),
        ({"tpms": (BIG,)}, "srtm_log_size", ENTRY + 0x14),
        ({"tpms": (NONE,) * (tpmrel.MAX_TPM_COUNT + 1)}, "count", ARRAY + 4),
        ({"services": SMALL.services * 65}, "count", SERVICES + 4),
        ({"services": SMALL.services * (hdif.MAX_ENTRY_COUNT + 1)}, "count", 4),
    ],
)
def test_values_that_do_not_fit(wrong: dict[str, Any], field: str, offset: int) -> None:
    with pytest.raises(FormatError) as caught:
        replace(SMALL, **wrong).to_bytes()
    assert (caught.value.field, caught.value.offset) == (field, offset)


def test_structures_that_are_too_large() -> None:
    tpm = NodeTpm(chip_id=1, srtm_log=bytes(tpmrel.MAX_LOG_SIZE))
    with pytest.raises(FormatError) as caught:
        replace(SMALL, tpms=(tpm,) * 17).to_bytes()
    assert (caught.value.field, caught.value.offset) == ("total_size", 0x0C)


@pytest.mark.parametrize("eye_catcher", [b"", b"TPMRE", b"TPMRELX"])
def test_an_eye_catcher_of_another_size_is_not_written(eye_catcher: bytes) -> None:
    with pytest.raises(FormatError) as caught:
        hdif.join(eye_catcher, instance=0, version=0, parts=())
    assert (caught.value.field, caught.value.offset) == ("eye_catcher", 2)
