"""PCR_Allocate: what firmware does to have its banks."""

import pytest

from tpm_kit import (
    ALL_BANKS,
    EMPTY_PASSWORD,
    NULL,
    PLATFORM,
    SHA1,
    SHA256,
    SHA384,
    SHUTDOWN_STATE,
    STARTUP_CLEAR,
    STARTUP_STATE,
    allocate,
    capability,
    command,
    event,
    power_cycle,
    rc_of,
    read_one,
    refusal,
    selections,
    session,
    started,
    vector,
    whole_state,
)

SBE = vector("sbe-tpm-commands.json")
ASK = bytes.fromhex(SBE["get_cap_pcrs"])
WANTED = SBE["get_cap_pcrs_expected_response"]


def test_default_banks_are_what_the_sbe_wants() -> None:
    assert started()[0].execute(ASK).hex() == WANTED


def test_sbe_brings_its_banks_about_at_the_next_reset() -> None:
    tpm, _, _ = started(allocated=(SHA1, SHA384))
    other = tpm.execute(ASK)
    assert other.hex() != WANTED
    response = tpm.execute(bytes.fromhex(SBE["pcr_allocate"]))
    numbers = [int.from_bytes(response[at : at + 4], "big") for at in (15, 19, 23)]
    assert response[14] == 1
    assert numbers == [24, 24 * 32, 24 * (20 + 32 + 48)]
    assert tpm.execute(ASK) == other  # not yet
    assert read_one(tpm, SHA256, 0) == b""
    power_cycle(tpm)
    tpm.execute(STARTUP_CLEAR)
    assert tpm.execute(ASK).hex() == WANTED
    assert read_one(tpm, SHA256, 0) == bytes(32)
    assert read_one(tpm, SHA1, 0) == b""


def test_fourth_bank_never_satisfies_the_sbe() -> None:
    tpm, _, _ = started(banks=ALL_BANKS)
    tpm.execute(bytes.fromhex(SBE["pcr_allocate"]))
    power_cycle(tpm)
    tpm.execute(STARTUP_CLEAR)
    assert tpm.execute(ASK).hex() != WANTED


@pytest.mark.parametrize("startup", [STARTUP_CLEAR, STARTUP_STATE])
def test_restart_and_resume_do_not_change_the_banks(startup: bytes) -> None:
    tpm, _, _ = started()
    tpm.execute(SHUTDOWN_STATE)
    tpm.execute(allocate((SHA1, "ffffff")))
    power_cycle(tpm)
    assert rc_of(tpm.execute(startup)) == 0
    assert tpm.execute(ASK).hex() == WANTED
    power_cycle(tpm)
    tpm.execute(STARTUP_CLEAR)
    assert tpm.execute(ASK)[15:] == selections(
        (SHA1, "ffffff"), (SHA256, "ffffff"), (SHA384, "000000")
    )


@pytest.mark.parametrize(
    ("pairs", "left"),
    [
        ([], "000000 ffffff 000000"),
        ([(SHA1, "ffffff")], "ffffff ffffff 000000"),
        ([(SHA256, "010002")], "000000 010002 000000"),
        ([(SHA1, "010000"), (SHA256, "000002")], "010000 000002 000000"),
        ([(SHA256, "000000"), (SHA256, "ffffff")], "000000 ffffff 000000"),
    ],
)
def test_banks_not_named_stay_and_the_last_word_counts(
    pairs: list[tuple[int, str]], left: str
) -> None:
    tpm, journal, _ = started()
    assert rc_of(tpm.execute(allocate(*pairs))) == 0
    sha1, sha256, sha384 = left.split()
    words = f"sha1:{sha1} sha256:{sha256} sha384:{sha384}"
    assert (journal[-1].kind, journal[-1].detail) == ("allocate", {"allocation": words})
    power_cycle(tpm)
    tpm.execute(STARTUP_CLEAR)
    expected = selections((SHA1, sha1), (SHA256, sha256), (SHA384, sha384))
    assert tpm.execute(ASK)[15:] == expected


def test_the_last_allocation_counts_alone() -> None:
    """As swtpm 0.7.1 answers: each starts from the banks there are now."""
    tpm, journal, _ = started()
    tpm.execute(allocate((SHA1, "ffffff")))
    tpm.execute(allocate((SHA384, "ffffff")))
    assert journal[-1].detail["allocation"] == (
        "sha1:000000 sha256:ffffff sha384:ffffff"
    )


@pytest.mark.parametrize("select", ["000000", "010000", "000002", "fefffd"])
def test_some_bank_needs_pcr_0_and_pcr_17(select: str) -> None:
    tpm, _, _ = started()
    before = whole_state(tpm)
    assert tpm.execute(allocate((SHA256, select))) == refusal(0x127)
    assert whole_state(tpm) == before


def test_pcr_a_bank_lacks_is_not_extended() -> None:
    tpm, _, _ = started()
    tpm.execute(allocate((SHA256, "010002")))
    power_cycle(tpm)
    tpm.execute(STARTUP_CLEAR)
    tpm.execute(event(6, b"x"))
    assert read_one(tpm, SHA256, 6) == b""
    assert read_one(tpm, SHA256, 0) == bytes(32)


@pytest.mark.parametrize(
    ("handle", "area", "params", "rc"),
    [
        (PLATFORM, None, bytes(4), 0x125),
        (PLATFORM, session(auth=b"x"), bytes(4), 0x9A2),
        (0x40000001, EMPTY_PASSWORD, bytes(4), 0x184),
        (NULL, EMPTY_PASSWORD, bytes(4), 0x184),
        (PLATFORM, EMPTY_PASSWORD, b"", 0x1DA),
        (PLATFORM, EMPTY_PASSWORD, b"\0\0\0\5", 0x1D5),
        (PLATFORM, EMPTY_PASSWORD, selections((0x12, "ffffff")), 0x1C3),
        (PLATFORM, EMPTY_PASSWORD, b"\0\0\0\1\0\x0b\2\xff\xff", 0x1C4),
        (PLATFORM, EMPTY_PASSWORD, bytes(5), 0x095),
    ],
)
def test_refusals(handle: int, area: bytes | None, params: bytes, rc: int) -> None:
    tpm, _, _ = started()
    before = whole_state(tpm)
    raw = command(0x12B, params, handles=(handle,), area=area)
    assert tpm.execute(raw) == refusal(rc)
    assert whole_state(tpm) == before


def test_capability_ignores_the_count_unless_it_is_0() -> None:
    tpm, _, _ = started()
    assert tpm.execute(capability(5, 0, 1)) == tpm.execute(ASK)
    assert tpm.execute(capability(5, 0, 0))[10:].hex() == "01" + "00000005" + "00000000"
