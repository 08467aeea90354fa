"""Record 0 of a TPM event log: bytes written out by hand, every refusal."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from pefstack.images.errors import FormatError
from pefstack.images.event_log import EventLog, end_offset
from pefstack.images.event_log_header import SpecIdHeader

VECTORS = Path(__file__).parents[1] / "vectors" / "boot-chain" / "eventlog"


def real_log() -> bytes:
    return (VECTORS / "op920-witherspoon-srtm.log").read_bytes()


def patched(at: int, layout: str, value: int) -> bytes:
    raw = bytearray(real_log())
    struct.pack_into(layout, raw, at, value)
    return bytes(raw)


def refusal(raw: bytes) -> tuple[str, int]:
    with pytest.raises(FormatError) as caught:
        EventLog.from_bytes(raw)
    assert caught.value.format_name == "event log"
    return caught.value.field, caught.value.offset


def test_header_by_hand() -> None:
    raw = bytes.fromhex(
        "00000000 03000000 0000000000000000000000000000000000000000 25000000"
        "53706563204944204576656e74303300 01000000 00 02 02 01 01000000 0b00 2000"
        "04 49424d00"
    )
    assert len(raw) == 69
    assert SpecIdHeader(algorithms=((0x000B, 32),)).to_bytes() == raw


@pytest.mark.parametrize(
    ("at", "layout", "value", "field"),
    [
        (0, "<I", 1, "pcr_index"),
        (4, "<I", 4, "event_type"),
        (27, "<B", 1, "digest"),
        (28, "<I", 40, "event_size"),
        (28, "<I", 2**32 - 1, "event_size"),
        (46, "<B", 0x34, "signature"),
        (56, "<I", 0, "number_of_algorithms"),
        (56, "<I", 17, "number_of_algorithms"),
        (56, "<I", 2**32 - 1, "number_of_algorithms"),
        (62, "<H", 0, "digest_size"),
        (62, "<H", 20, "digest_size"),
        (62, "<H", 65, "digest_size"),
        (64, "<H", 0x000B, "algorithm"),
    ],
)
def test_header_refusals(at: int, layout: str, value: int, field: str) -> None:
    found = refusal(patched(at, layout, value))
    assert found == (field, {27: 8, 46: 32}.get(at, at))
    with pytest.raises(FormatError):
        end_offset(patched(at, layout, value))


@pytest.mark.parametrize(
    ("size", "field", "at"),
    [
        (31, "header", 0),
        (59, "spec id", 32),
        (67, "algorithm", 64),
        (68, "vendor_info_size", 68),
        (72, "vendor_info", 69),
    ],
)
def test_header_cut_off(size: int, field: str, at: int) -> None:
    assert refusal(real_log()[:size]) == (field, at)
