"""PCR_Read and PCR_Reset."""

import pytest

from tpm_kit import (
    SHA1,
    SHA256,
    SHA384,
    command,
    event,
    extend,
    rc_of,
    read_one,
    refusal,
    reset,
    selections,
    started,
    update_counter,
    vector,
    whole_state,
)

BY_LOCALITY = [row for row in vector("swtpm_control_channel.json") if "reset" in row]


def read(params: bytes, allocated: tuple[int, ...] = (SHA256,)) -> bytes:
    """The answer after the counter."""
    tpm, _, _ = started(allocated=allocated)
    for pcr in range(16):
        tpm.execute(event(pcr, bytes((pcr,))))
    return tpm.execute(command(0x17E, params))[14:]


def test_as_the_reference_answers() -> None:
    chain = vector("formulas.json")["pcr"]
    tpm, _, _ = started()
    for step in chain["steps"]:
        tpm.execute(extend(6, (SHA256, bytes.fromhex(step["digest"]))))
    response = tpm.execute(bytes.fromhex(chain["read_command"])).hex()
    assert response[:20] == chain["read_response"][:20]
    assert response[28:] == chain["read_response"][28:]


def test_eight_at_a_time() -> None:
    """The first eight, as the reference gives them; then the client asks again."""
    answer = read(selections((SHA256, "ffffff")))
    reference = vector("formulas.json")["pcr"]["read_all_24_first_response"]
    assert answer[:14].hex() == reference[28:56]
    assert len(answer) * 2 + 28 == len(reference)
    again = read(selections((SHA256, "00ffff")))
    assert again[:10] == selections((SHA256, "00ff00"))
    assert again[10:14] == b"\0\0\0\x08"


def test_limit_runs_through_the_banks() -> None:
    answer = read(selections((SHA256, "1f0000"), (SHA1, "ff0000")), (SHA1, SHA256))
    assert answer[:16] == selections((SHA256, "1f0000"), (SHA1, "070000"))
    assert answer[16:20] == b"\0\0\0\x08"
    assert len(answer) == 20 + 5 * 34 + 3 * 22
    sizes = [*range(20, 20 + 5 * 34, 34), *range(20 + 5 * 34, len(answer), 22)]
    assert [answer[at + 1] for at in sizes] == 5 * [32] + 3 * [20]


def test_after_the_limit_the_rest_is_cleared() -> None:
    answer = read(selections((SHA256, "ff0000"), (SHA1, "010000")), (SHA1, SHA256))
    assert answer[:16] == selections((SHA256, "ff0000"), (SHA1, "000000"))


def test_values_come_in_rising_order() -> None:
    tpm, _, _ = started()
    tpm.execute(event(9, b"x"))
    answer = tpm.execute(command(0x17E, selections((SHA256, "000300"))))
    assert answer[30:62] == read_one(tpm, SHA256, 8)
    assert answer[64:] == read_one(tpm, SHA256, 9)


def test_bank_without_pcrs_gives_nothing() -> None:
    answer = read(selections((SHA1, "ffffff"), (SHA384, "010000")))
    assert answer == selections((SHA1, "000000"), (SHA384, "000000")) + bytes(4)


def test_nothing_selected() -> None:
    assert read(selections()) == bytes(8)
    assert read(selections((SHA256, "000000"))) == selections(
        (SHA256, "000000")
    ) + bytes(4)


@pytest.mark.parametrize(
    ("params", "rc"),
    [
        (b"", 0x1DA),
        (b"\0\0\0\1", 0x1DA),
        (b"\0\0\0\5", 0x1D5),
        (b"\xff\xff\xff\xff", 0x1D5),
        (b"\0\0\0\1\0\x99\3\1\0\0", 0x1C3),
        (selections((0x0010, "010000")), 0x1C3),
        (b"\0\0\0\1\0\x0b\2\1\0", 0x1C4),
        (b"\0\0\0\1\0\x0b\4\1\0\0\0", 0x1C4),
        (b"\0\0\0\1\0\x0b\0", 0x1C4),
        (b"\0\0\0\1\0\x0b\3\1\0", 0x1DA),
        (selections((SHA256, "010000")) + b"\0", 0x095),
    ],
)
def test_selection_refusals(params: bytes, rc: int) -> None:
    tpm, _, _ = started()
    before = whole_state(tpm)
    assert tpm.execute(command(0x17E, params)) == refusal(rc)
    assert whole_state(tpm) == before


@pytest.mark.parametrize("row", BY_LOCALITY, ids=lambda row: str(row["name"]))
def test_who_may_reset_what(row: dict[str, dict[str, str]]) -> None:
    locality = int(str(row["name"])[-1])
    for pcr, rc in row["reset"].items():
        tpm, _, _ = started()
        before = whole_state(tpm)
        assert rc_of(tpm.execute(reset(int(pcr)), locality)) == int(rc, 16), pcr
        if rc == "0x0":
            assert read_one(tpm, SHA256, int(pcr)) == bytes(32)
        else:
            assert whole_state(tpm) == before


def test_reset_at_locality_0() -> None:
    tpm, _, _ = started()
    for pcr, rc in vector("formulas.json")["pcr"]["reset"].items():
        assert rc_of(tpm.execute(reset(int(pcr)))) == int(rc, 16), pcr


def test_reset_in_every_bank_is_noted_once() -> None:
    tpm, journal, _ = started(allocated=(SHA1, SHA256, SHA384))
    tpm.execute(event(16, b"x"))
    tpm.execute(reset(16))
    for alg, size in ((SHA1, 20), (SHA256, 32), (SHA384, 48)):
        assert read_one(tpm, alg, 16) == bytes(size)
    assert [each.kind for each in journal][-1] == "reset-pcr"
    assert [each.kind for each in journal].count("reset-pcr") == 1
    assert journal[-1].detail == {"pcr": 16}


@pytest.mark.parametrize(("pcr", "steps"), [(16, 0), (20, 1), (21, 0), (23, 0)])
def test_reset_counts_as_the_attributes_say(pcr: int, steps: int) -> None:
    tpm, _, _ = started()
    before = update_counter(tpm)
    assert rc_of(tpm.execute(reset(pcr), 2)) == 0
    assert update_counter(tpm) - before == steps


def test_null_cannot_be_reset() -> None:
    assert rc_of(started()[0].execute(reset(0x40000007))) == 0x184
