"""TPM event log: the log of a real POWER9, round trips, every refusal."""

from __future__ import annotations

import json
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pefstack.images.errors import FormatError
from pefstack.images.event_log import EventLog, LogRecord, end_offset
from pefstack.images.event_log_header import SHA1, SHA256, SpecIdHeader

VECTORS = Path(__file__).parents[1] / "vectors" / "boot-chain" / "eventlog"
U32 = st.integers(0, 2**32 - 1)
U8 = st.integers(0, 255)
SIZES = {0x0004: 20, 0x000B: 32, 0x000C: 48, 0x000D: 64, 0x7777: 5}
HEADER_END = 73
SECOND_RECORD = 148


def real_log() -> bytes:
    return (VECTORS / "op920-witherspoon-srtm.log").read_bytes()


def real_events() -> list[dict[str, Any]]:
    text = (VECTORS / "op920-witherspoon-events.json").read_text()
    events: list[dict[str, Any]] = json.loads(text)["events"]
    return events


def patched(at: int, layout: str, value: int) -> bytes:
    raw = bytearray(real_log())
    struct.pack_into(layout, raw, at, value)
    return bytes(raw)


@st.composite
def headers(draw: st.DrawFn) -> SpecIdHeader:
    ids = draw(st.lists(st.sampled_from(list(SIZES)), min_size=1, unique=True))
    return SpecIdHeader(
        algorithms=tuple((each, SIZES[each]) for each in ids),
        platform_class=draw(U32),
        spec_version_minor=draw(U8),
        spec_version_major=draw(U8),
        spec_errata=draw(U8),
        uintn_size=draw(U8),
        vendor_info=draw(st.binary(max_size=255)),
    )


@st.composite
def records(draw: st.DrawFn, header: SpecIdHeader) -> LogRecord:
    some = st.lists(st.sampled_from(header.algorithms), min_size=1, unique=True)
    digests = tuple(
        (each, draw(st.binary(min_size=size, max_size=size)))
        for each, size in draw(some)
    )
    return LogRecord(
        pcr_index=draw(st.integers(0, 23)),
        event_type=draw(U32),
        digests=digests,
        event=draw(st.binary(max_size=60)),
    )


@st.composite
def logs(draw: st.DrawFn) -> EventLog:
    header = draw(headers())
    return EventLog(
        header=header, records=tuple(draw(st.lists(records(header), max_size=4)))
    )


def refusal(raw: bytes) -> tuple[str, int]:
    with pytest.raises(FormatError) as caught:
        EventLog.from_bytes(raw)
    assert caught.value.format_name == "event log"
    return caught.value.field, caught.value.offset


def test_vector_from_the_field() -> None:
    log = EventLog.from_bytes(real_log())
    assert log.header == SpecIdHeader(algorithms=((0x000B, 32), (0x0004, 20)))
    assert len(log.records) == 40
    assert log.to_bytes() == real_log()


def test_vector_record_by_record() -> None:
    log = EventLog.from_bytes(real_log())
    first, *events = real_events()
    at = HEADER_END
    assert first["event"] == log.header.to_bytes()[32:].hex()
    for record, event in zip(log.records, events, strict=True):
        names = {SHA256: "sha256", SHA1: "sha1"}
        digests = {names[each]: digest.hex() for each, digest in record.digests}
        assert (record.pcr_index, record.event_type) == (event["pcr"], event["type"])
        assert digests == event["digests"]
        assert list(digests) == event["order"]
        assert record.event.hex() == event["event"]
        assert at == event["off"]
        at += len(record.to_bytes())


def test_log_inside_the_handed_over_structure() -> None:
    raw = (VECTORS / "op920-witherspoon-tpmrel.hdif").read_bytes()
    (array,) = struct.unpack_from(">I", raw, 0x20)  # pointer 0: an array with one entry
    (entries,) = struct.unpack_from(">I", raw, array)
    entry = array + entries
    offset, size = struct.unpack_from(">II", raw, entry + 16)
    buffer = memoryview(raw)[entry + offset :][:size]
    assert size == 0x10000
    assert EventLog.from_bytes(buffer).to_bytes() == real_log()
    assert end_offset(buffer) == len(real_log())


@given(logs())
def test_round_trip(log: EventLog) -> None:
    assert EventLog.from_bytes(log.to_bytes()) == log


@given(logs(), st.integers(0, 300))
def test_zeros_behind_the_log(log: EventLog, count: int) -> None:
    raw = log.to_bytes()
    assert EventLog.from_bytes(raw + bytes(count)) == log
    assert end_offset(raw + bytes(count)) == len(raw)


@given(logs(), st.data())
def test_cut_short(log: EventLog, data: st.DataObject) -> None:
    raw = log.to_bytes()
    cut = raw[: data.draw(st.integers(0, len(raw) - 1))]
    try:  # nothing tells a shorter log from this one
        found = EventLog.from_bytes(cut)
    except FormatError:
        return
    assert found.records == log.records[: len(found.records)]
    assert raw.startswith(found.to_bytes())


@given(logs(), st.integers(0, 299), U8)
def test_end_offset_agrees_with_the_parser(log: EventLog, at: int, value: int) -> None:
    raw = bytearray(log.to_bytes() + bytes(40))
    if at < len(raw):
        raw[at] = value
    try:
        end = end_offset(raw)
    except FormatError:
        return
    good = EventLog.from_bytes(raw[:end])
    assert good.to_bytes() == raw[:end]
    with pytest.raises(FormatError):
        LogRecord.from_prefix(raw[end:], good.header.digest_sizes)


@given(st.binary(max_size=200), st.sampled_from([0, 28, HEADER_END, SECOND_RECORD]))
def test_noise_is_refused_politely(noise: bytes, before: int) -> None:
    raw = real_log()[:before] + noise
    with suppress(FormatError):
        EventLog.from_bytes(raw)
    with suppress(FormatError):
        assert end_offset(raw) <= len(raw)


@pytest.mark.parametrize(
    ("at", "layout", "value", "field"),
    [
        (148, "<I", 24, "pcr_index"),
        (156, "<I", 3, "digest_count"),
        (156, "<I", 2**32 - 1, "digest_count"),
        (160, "<H", 0x000C, "algorithm"),  # not in the header
        (194, "<H", 0x000B, "algorithm"),  # twice
        (216, "<I", 8193, "event_size"),
        (216, "<I", 2**32 - 1, "event_size"),
    ],
)
def test_record_refusals(at: int, layout: str, value: int, field: str) -> None:
    raw = patched(at, layout, value)
    assert refusal(raw) == (field, at)
    assert end_offset(raw) == SECOND_RECORD
    assert end_offset(raw.ljust(0x10000, b"\0")) == SECOND_RECORD


@pytest.mark.parametrize(
    ("size", "field", "at"),
    [
        (156, "end", 152),  # type 7 of the cut record is the first byte not zero
        (159, "record", 148),
        (161, "algorithm", 160),
        (193, "digest", 162),
        (219, "event_size", 216),
        (222, "event_size", 216),
    ],
)
def test_record_cut_off(size: int, field: str, at: int) -> None:
    assert refusal(real_log()[:size]) == (field, at)
    assert end_offset(real_log()[:size]) == SECOND_RECORD


def test_record_without_digests_ends_the_log() -> None:
    raw = patched(156, "<I", 0)
    assert end_offset(raw) == SECOND_RECORD
    assert refusal(raw) == ("end", 152)
    with pytest.raises(FormatError) as caught:
        LogRecord.from_prefix(bytes(40), {SHA256: 32})
    assert (caught.value.field, caught.value.offset) == ("digest_count", 8)


def test_two_digests_for_one_bank() -> None:
    digests = ((SHA256, bytes(32)),) * 2
    record = LogRecord(pcr_index=0, event_type=1, digests=digests)
    raw = real_log()[:HEADER_END] + record.to_bytes()
    assert refusal(raw) == ("algorithm", HEADER_END + 12 + 34)
    assert end_offset(raw) == HEADER_END


def test_bytes_behind_the_zeros() -> None:
    raw = real_log() + bytes(100) + b"x"
    assert refusal(raw) == ("end", len(real_log()) + 100)


def test_longest_event() -> None:
    header = SpecIdHeader(algorithms=((SHA256, 32),))
    for size in (8192, 8193):
        digests = ((SHA256, bytes(32)),)
        record = LogRecord(
            pcr_index=0, event_type=1, digests=digests, event=bytes(size)
        )
        log = EventLog(header=header, records=(record,))
        if size == 8192:
            assert EventLog.from_bytes(log.to_bytes()) == log
            assert end_offset(log.to_bytes()) == len(log.to_bytes())
            continue
        with pytest.raises(FormatError) as caught:
            log.to_bytes()
        assert caught.value.field == "event_size"
        with pytest.raises(FormatError):
            EventLog.from_bytes(header.to_bytes() + record.to_bytes())
        assert end_offset(header.to_bytes() + record.to_bytes()) == 69


def test_log_of_records_that_do_not_follow_its_header() -> None:
    log = EventLog.from_bytes(real_log())
    one_bank = SpecIdHeader(algorithms=((SHA256, 32),))
    with pytest.raises(FormatError) as caught:
        EventLog(header=one_bank, records=log.records).to_bytes()
    assert caught.value.field == "digest_count"


def test_values_that_do_not_fit() -> None:
    for wrong in (
        LogRecord(pcr_index=-1, event_type=0, digests=()),
        LogRecord(pcr_index=0, event_type=2**32, digests=()),
        LogRecord(pcr_index=0, event_type=0, digests=((2**16, b""),)),
    ):
        with pytest.raises(FormatError):
            wrong.to_bytes()
    with pytest.raises(FormatError):
        SpecIdHeader(algorithms=((SHA256, 32),), vendor_info=bytes(256)).to_bytes()


def test_text_for_people() -> None:
    record = LogRecord(pcr_index=0, event_type=1, digests=(), event=b"HBB\0")
    assert record.text == "HBB"
    separator = LogRecord(pcr_index=0, event_type=4, digests=(), event=b"\xff" * 2)
    assert separator.text == "\\xff\\xff"
