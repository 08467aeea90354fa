"""Replay and construction of event logs: listed PCR values, and tpm2_eventlog."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interop import need
from pefstack.images import event_log_build as build
from pefstack.images.errors import FormatError
from pefstack.images.event_log import (
    EV_COMPACT_HASH,
    EV_POST_CODE,
    EventLog,
    LogRecord,
)
from pefstack.images.event_log_header import (
    EV_NO_ACTION,
    SHA1,
    SHA256,
    SHA384,
    SHA512,
    SpecIdHeader,
)
from pefstack.images.event_log_replay import extends, replay, replay_steps

VECTORS = Path(__file__).parents[1] / "vectors" / "boot-chain"
REFERENCE: dict[str, Any] = json.loads(
    (VECTORS / "pcr/pcr6-reference.json").read_text()
)
INPUTS: dict[str, str] = REFERENCE["inputs"]
KEY_HASH = bytes.fromhex(INPUTS["hw_key_hash_sha512_imprint"])
CODE_HASH = bytes.fromhex(INPUTS["sb_verification_sha512"])
PCR = 6
SWITCHES = [(0, 0), (0, 1), (1, 0), (1, 1)]


def real_log() -> EventLog:
    return EventLog.from_bytes(
        (VECTORS / "eventlog/op920-witherspoon-srtm.log").read_bytes()
    )


def compact(value: bytes, text: str) -> LogRecord:
    return build.measurement(PCR, EV_COMPACT_HASH, value, text.encode() + b"\0")


def steps_of(records: list[LogRecord]) -> list[str]:
    log = EventLog(header=build.header(), records=tuple(records))
    log = EventLog.from_bytes(log.to_bytes())
    return [value.hex() for value in replay_steps(log, SHA256)]


def listed(rows: list[dict[str, str]]) -> list[str]:
    return [row["pcr_after"] for row in rows]


def patent(jumper: int, pef: int) -> list[LogRecord]:
    return [
        compact(KEY_HASH, "HW KEY HASH"),
        compact(bytes([jumper]), "SECURE BOOT JUMPER"),
        compact(CODE_HASH, "SBE Secure Boot Validation Code"),
        build.separator(PCR),
        compact(bytes([pef]), "PEF ENABLE"),
    ]


def power10(jumper: int, minimum_secure_version: int) -> list[LogRecord]:
    return [
        compact(KEY_HASH, "HW KEY HASH"),
        compact(bytes([jumper, minimum_secure_version]), "SBE Security State"),
        compact(CODE_HASH, "SBE Secure Boot Validation Code"),
        *[build.separator(PCR)] * 3,
    ]


def test_replay_of_the_real_log() -> None:
    text = (VECTORS / "eventlog/op920-witherspoon-events.json").read_text()
    values = json.loads(text)["replayed_pcrs"]
    found = replay(real_log())
    for algorithm, name in ((SHA256, "sha256"), (SHA1, "sha1")):
        hexes = {str(pcr): value.hex() for pcr, value in found[algorithm].items()}
        assert hexes == values[name]


@pytest.mark.parametrize(("jumper", "pef"), SWITCHES)
def test_patent_profile(jumper: int, pef: int) -> None:
    rows = REFERENCE["patent_fig7a_profile"][f"jumper{jumper}_pef{pef}"]
    assert steps_of(patent(jumper, pef)) == listed(rows)


@pytest.mark.parametrize(("jumper", "high"), SWITCHES)
def test_power10(jumper: int, high: int) -> None:
    rows = REFERENCE["p10_real"][f"jumper{jumper}_msv{2 * high}"]
    assert steps_of(power10(jumper, 2 * high)) == listed(rows)


def test_power9() -> None:
    records = [compact(bytes(8), "Node id"), *[build.separator(PCR)] * 2]
    assert steps_of(records) == listed(REFERENCE["p9_op920_pcr6"])
    real = real_log()
    both = zip(real.records, replay_steps(real, SHA256), strict=True)
    steps = [value.hex() for record, value in both if record.pcr_index == PCR]
    assert steps == listed(REFERENCE["p9_op920_pcr6"])


def test_separator_digests() -> None:
    digests = dict(build.separator(0, build.TWO_BANKS).digests)
    assert digests[SHA256].hex() == INPUTS["separator_sha256"]
    assert digests[SHA1].hex() == INPUTS["separator_sha1"]


def test_separator_record_of_the_real_log() -> None:
    separators = [each for each in real_log().records if each.event_type == 4]
    assert separators[8] == build.separator(0, build.TWO_BANKS)  # OPAL
    assert separators[1] == build.separator(1, (SHA1, SHA256))  # Hostboot


def test_headers() -> None:
    one, two = build.header(), build.header(build.TWO_BANKS)
    assert (len(one.to_bytes()), len(two.to_bytes())) == (69, 73)
    assert two == real_log().header


def test_measured_values_are_cut_and_padded_never_hashed() -> None:
    value = bytes(range(1, 65))
    banks = (SHA1, SHA256, SHA512)
    record = build.measurement(1, EV_POST_CODE, value, b"x", banks)
    assert [digest for _, digest in record.digests] == [value[:20], value[:32], value]
    assert build.fit(b"\1", 32) == b"\1" + bytes(31)
    assert build.fit(b"", 20) == bytes(20)


def test_measured_value_that_is_too_long() -> None:
    with pytest.raises(FormatError) as caught:
        build.fit(bytes(65), 32)
    assert caught.value.field == "measured value"


HASHES: dict[int, Callable[[bytes], Any]] = {
    SHA1: hashlib.sha1,
    SHA256: hashlib.sha256,
    SHA384: hashlib.sha384,
    SHA512: hashlib.sha512,
}


@given(
    st.lists(st.tuples(st.integers(0, 3), st.binary(max_size=64)), max_size=6),
    st.sampled_from(sorted(HASHES)),
)
def test_replay_agrees_with_plain_hashing(
    extended: list[tuple[int, bytes]], algorithm: int
) -> None:
    banks = (SHA256,) if algorithm == SHA256 else (algorithm, SHA256)
    records = tuple(
        build.measurement(pcr, EV_POST_CODE, value, b"", banks)
        for pcr, value in extended
    )
    log = EventLog(header=build.header(banks), records=records)
    size = HASHES[algorithm](b"").digest_size
    expected: dict[int, bytes] = {}
    for pcr, value in extended:
        digest = value[:size] + bytes(max(size - len(value), 0))
        old = expected.get(pcr, bytes(size))
        expected[pcr] = HASHES[algorithm](old + digest).digest()
    assert replay(log)[algorithm] == expected


def test_no_action_is_not_extended() -> None:
    record = build.measurement(PCR, EV_NO_ACTION, b"\1", b"")
    assert steps_of([record]) == ["00" * 32]
    log = EventLog(header=build.header(), records=(record,))
    assert replay(log) == {SHA256: {}}
    assert not extends(record, SHA256)


def test_record_without_a_digest_for_the_bank() -> None:
    records = (
        build.separator(PCR, (SHA256,)),
        build.separator(PCR, (SHA1,)),
        build.separator(PCR, (SHA256,)),
    )
    log = EventLog(header=build.header(build.TWO_BANKS), records=records)
    first, second, third = replay_steps(log, SHA256)
    assert first == second != third
    assert replay_steps(log, SHA1)[0] == bytes(20)


@pytest.mark.parametrize("algorithm", [SHA384, 0x12])
def test_bank_that_cannot_be_replayed(algorithm: int) -> None:
    with pytest.raises(FormatError) as caught:
        replay_steps(EventLog(header=build.header()), algorithm)
    assert (caught.value.field, caught.value.found) == ("bank", f"0x{algorithm:04x}")


def test_bank_of_an_unknown_algorithm() -> None:
    header = SpecIdHeader(algorithms=((0x12, 32),))
    with pytest.raises(FormatError) as caught:
        replay(EventLog(header=header))
    assert caught.value.field == "bank"
    for make in (build.header, lambda banks: build.separator(0, banks)):
        with pytest.raises(FormatError) as caught:
            make((0x12,))
        assert caught.value.field == "bank"


def extract() -> EventLog:
    """PCR 6 of the real log; tpm2_eventlog stops at the short events of PCR 0."""
    log = real_log()
    kept = tuple(each for each in log.records if each.pcr_index == PCR)
    return EventLog(header=log.header, records=kept)


def made(records: list[LogRecord]) -> EventLog:
    return EventLog(header=build.header(), records=tuple(records))


@pytest.mark.interop
@pytest.mark.parametrize(
    "log",
    [made(patent(0, 1)), made(power10(1, 2)), extract()],
    ids=["patent", "p10", "p9"],
)
def test_tpm2_eventlog_replays_the_same(log: EventLog, tmp_path: Path) -> None:
    program = need("tpm2_eventlog", "tpm2-tools")
    file = tmp_path / "log"
    file.write_bytes(log.to_bytes())
    done = subprocess.run(
        [program, str(file)], capture_output=True, text=True, check=True
    )
    found = re.findall(r"^ +6 *: 0x([0-9a-f]+)$", done.stdout, re.MULTILINE)
    expected = [values[PCR].hex() for values in replay(log).values()]
    assert sorted(found) == sorted(expected)
    assert done.stdout.count("- EventNum:") == len(log.records) + 1
