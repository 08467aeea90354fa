"""PCR_Extend and PCR_Event."""

import hashlib
import json

import pytest

from tpm_kit import (
    ALL_BANKS,
    EMPTY_PASSWORD,
    NULL,
    SHA1,
    SHA256,
    SHA384,
    SHA512,
    VECTORS,
    command,
    digests,
    event,
    extend,
    rc_of,
    read_one,
    refusal,
    started,
    update_counter,
    vector,
    whole_state,
)

NAMES = {SHA1: "sha1", SHA256: "sha256", SHA384: "sha384", SHA512: "sha512"}
BY_LOCALITY = [row for row in vector("swtpm_control_channel.json") if "extend" in row]


def test_five_measurements_in_every_bank() -> None:
    tpm, _, _ = started(banks=ALL_BANKS, allocated=ALL_BANKS)
    for step in vector("pcr6_values.json")["values"]:
        pairs = [(alg, bytes.fromhex(step["digests"][NAMES[alg]])) for alg in NAMES]
        assert rc_of(tpm.execute(extend(6, *pairs))) == 0
        for alg, name in NAMES.items():
            assert read_one(tpm, alg, 6).hex() == step["pcr6_after"][name]


def test_chain_of_the_reference() -> None:
    tpm, _, _ = started()
    chain = vector("formulas.json")["pcr"]
    before = update_counter(tpm)
    for step in chain["steps"]:
        tpm.execute(extend(6, (SHA256, bytes.fromhex(step["digest"]))))
        assert read_one(tpm, SHA256, 6).hex() == step["pcr6"]
    assert update_counter(tpm) - before == chain["update_counter_delta"]
    tpm.execute(extend(16, (SHA256, bytes(32))))
    assert update_counter(tpm) - before == chain["update_counter_delta"]


@pytest.mark.parametrize("profile", ["p10_real", "patent_fig7a_profile"])
def test_pcr6_of_a_whole_boot(profile: str) -> None:
    for steps in vector("pcr6-reference.json")[profile].values():
        tpm, _, _ = started()
        for step in steps:
            tpm.execute(extend(6, (SHA256, bytes.fromhex(step["digest"]))))
            assert read_one(tpm, SHA256, 6).hex() == step["pcr_after"]


def test_recorded_talk_of_a_real_client() -> None:
    """Byte for byte, the counter included: it counts each bank of an extend."""
    tpm, _, _ = started(banks=ALL_BANKS, allocated=ALL_BANKS)
    for line in (VECTORS / "pef_flow_pcr.jsonl").read_text().splitlines():
        row = json.loads(line)
        assert tpm.execute(bytes.fromhex(row["cmd"])).hex() == row["rsp"], row["n"]


@pytest.mark.parametrize("row", BY_LOCALITY, ids=lambda row: str(row["name"]))
def test_who_may_extend_what(row: dict[str, dict[str, str]]) -> None:
    locality = int(str(row["name"])[-1])
    for pcr, rc in row["extend"].items():
        for raw in (extend(int(pcr), (SHA256, bytes(32))), event(int(pcr), b"x")):
            tpm, _, _ = started()
            before = whole_state(tpm)
            response = tpm.execute(raw, locality)
            assert rc_of(response) == int(rc, 16), pcr
            assert (whole_state(tpm) == before) is bool(rc_of(response))


@pytest.mark.parametrize("locality", range(5))
def test_pcr_0_to_16_at_every_locality(locality: int) -> None:
    tpm, _, _ = started()
    for pcr in range(17):
        assert rc_of(tpm.execute(event(pcr, b"x"), locality)) == 0


@pytest.mark.parametrize(
    ("params", "rc"),
    [
        (digests(), 0),
        (b"", 0x1DA),
        (b"\0\0\0", 0x1DA),
        (b"\0\0\0\1", 0x1DA),
        (b"\0\0\0\1\0", 0x1DA),
        (digests((SHA256, bytes(31))), 0x1DA),
        (digests((SHA256, bytes(33))), 0x095),
        (digests((0x1234, bytes(32))), 0x1C3),
        (digests((0x0010, b"")), 0x1C3),
        (digests((SHA512, bytes(64))), 0),
        (digests((SHA256, bytes(32)), (0x1234, b"")), 0x1C3),
        (b"\0\0\0\5" + digests((SHA256, bytes(32)))[4:] * 5, 0x1D5),
        (b"\xff\xff\xff\xff", 0x1D5),
        (digests(*[(SHA256, bytes(32))] * 3), 0),
    ],
)
def test_digest_lists(params: bytes, rc: int) -> None:
    tpm, _, _ = started()
    before = whole_state(tpm)
    raw = command(0x182, params, handles=(6,), area=EMPTY_PASSWORD)
    response = tpm.execute(raw)
    assert rc_of(response) == rc
    if rc:
        assert response == refusal(rc)
        assert whole_state(tpm) == before


def test_null_handle_does_nothing() -> None:
    tpm, _, _ = started()
    before = whole_state(tpm)
    assert rc_of(tpm.execute(extend(NULL, (SHA256, bytes(32))))) == 0
    response = tpm.execute(event(NULL, b"x"))
    assert hashlib.sha256(b"x").digest() in response
    assert whole_state(tpm) == before


def test_bank_without_pcrs_is_ignored() -> None:
    tpm, journal, _ = started()
    counter = update_counter(tpm)
    response = tpm.execute(extend(6, (SHA1, b"\1" * 20), (SHA256, b"\2" * 32)))
    assert rc_of(response) == 0
    assert read_one(tpm, SHA256, 6) == hashlib.sha256(bytes(32) + b"\2" * 32).digest()
    assert read_one(tpm, SHA1, 6) == b""
    assert update_counter(tpm) == counter + 1
    assert [each.detail["bank"] for each in journal if each.kind == "extend"] == [
        "sha256"
    ]


def test_one_bank_twice_is_extended_twice() -> None:
    tpm, _, _ = started()
    tpm.execute(extend(6, (SHA256, bytes(32)), (SHA256, b"\1" * 32)))
    once = hashlib.sha256(bytes(64)).digest()
    assert read_one(tpm, SHA256, 6) == hashlib.sha256(once + b"\1" * 32).digest()


def test_each_bank_is_noted() -> None:
    tpm, journal, _ = started(allocated=(SHA1, SHA256))
    tpm.execute(extend(7, (SHA256, b"\2" * 32), (SHA1, b"\1" * 20)))
    value = hashlib.sha256(bytes(32) + b"\2" * 32).hexdigest()
    assert [(each.source, each.kind) for each in journal][1:] == [("tpm", "extend")] * 2
    assert journal[1].detail == {
        "pcr": 7,
        "bank": "sha256",
        "digest": "02" * 32,
        "value": value,
    }
    assert journal[2].detail["bank"] == "sha1"


def test_reads_are_not_noted() -> None:
    tpm, journal, _ = started()
    for raw in (command(0x17E, bytes(4)), command(0x17B, b"\0\1"), command(0x181)):
        tpm.execute(raw)
    assert len(journal) == 1


def test_event_gives_every_banks_digest() -> None:
    tpm, journal, _ = started(banks=ALL_BANKS)
    response = tpm.execute(event(6, b"abc"))
    count = vector("formulas.json")["pcr"]["pcr_event_digest_count"]
    assert int.from_bytes(response[14:18], "big") == count == 4
    expected = digests(*[(a, hashlib.new(NAMES[a], b"abc").digest()) for a in NAMES])
    assert response[14:-5] == expected
    assert (
        read_one(tpm, SHA256, 6)
        == hashlib.sha256(bytes(32) + hashlib.sha256(b"abc").digest()).digest()
    )
    assert journal[-1].detail["digest"] == hashlib.sha256(b"abc").hexdigest()


@pytest.mark.parametrize(
    ("params", "rc"),
    [
        (b"", 0x1DA),
        (b"\0\0", 0),
        (b"\0\2x", 0x1DA),
        (b"\0\1xy", 0x095),
        (b"\x04\x00" + bytes(1024), 0),
        (b"\x04\x01" + bytes(1025), 0x1D5),
        (b"\xff\xff", 0x1D5),
    ],
)
def test_event_data(params: bytes, rc: int) -> None:
    raw = command(0x13C, params, handles=(6,), area=EMPTY_PASSWORD)
    assert rc_of(started()[0].execute(raw)) == rc
