"""Startup, Shutdown, SelfTest, GetTestResult: Reset, Restart and Resume."""

import pytest

from tpm_kit import (
    SHA1,
    SHA256,
    SHA384,
    SHUTDOWN_CLEAR,
    SHUTDOWN_STATE,
    STARTUP_CLEAR,
    STARTUP_STATE,
    allocate,
    clock_info,
    command,
    event,
    extend,
    off_tpm,
    power_cycle,
    rc_of,
    read_one,
    refusal,
    reset,
    started,
    update_counter,
    vector,
    whole_state,
)

ONES = b"\xff" * 32


def test_first_values() -> None:
    tpm, _, _ = started()
    expected = vector("formulas.json")["pcr"]["first_4_bytes_after_startup_clear"]
    for pcr in range(24):
        value = read_one(tpm, SHA256, pcr)
        assert value == value[:1] * 32
        assert value[:4].hex() == expected[str(pcr)]


def test_first_update_counter_is_that_of_the_reference() -> None:
    expected = vector("formulas.json")["pcr"]["update_counter_after_startup_clear"]
    assert update_counter(started()[0]) == expected


@pytest.mark.parametrize("locality", [1, 2, 4])
def test_startup_at_a_wrong_locality(locality: int) -> None:
    tpm, _, _ = off_tpm()
    tpm.power_on()
    before = whole_state(tpm)
    assert tpm.execute(STARTUP_CLEAR, locality) == refusal(0x907)
    assert whole_state(tpm) == before


def test_startup_at_locality_3_shows_in_pcr_0() -> None:
    tpm, journal, _ = off_tpm(allocated=(SHA1, SHA256, SHA384))
    tpm.power_on()
    assert rc_of(tpm.execute(STARTUP_CLEAR, 3)) == 0
    for alg, size in ((SHA1, 20), (SHA256, 32), (SHA384, 48)):
        assert read_one(tpm, alg, 0) == bytes(size - 1) + b"\3"
        assert read_one(tpm, alg, 1) == bytes(size)
    assert journal[0].detail["locality"] == 3


@pytest.mark.parametrize("code", [0x144, 0x145])
@pytest.mark.parametrize("kind", [2, 0xFFFF])
def test_no_such_type(code: int, kind: int) -> None:
    tpm, _, _ = started()
    if code == 0x144:
        power_cycle(tpm)
    assert tpm.execute(command(code, kind.to_bytes(2, "big"))) == refusal(0x1C4)


@pytest.mark.parametrize(
    ("shutdown", "startup", "effect"),
    [
        (None, STARTUP_CLEAR, "reset"),
        (None, STARTUP_STATE, None),
        (SHUTDOWN_CLEAR, STARTUP_CLEAR, "reset"),
        (SHUTDOWN_CLEAR, STARTUP_STATE, None),
        (SHUTDOWN_STATE, STARTUP_CLEAR, "restart"),
        (SHUTDOWN_STATE, STARTUP_STATE, "resume"),
    ],
)
def test_every_way_to_start(
    shutdown: bytes | None, startup: bytes, effect: str | None
) -> None:
    tpm, journal, _ = started()
    tpm.execute(extend(6, (SHA256, bytes(32))))
    value = read_one(tpm, SHA256, 6)
    if shutdown:
        assert rc_of(tpm.execute(shutdown)) == 0
    power_cycle(tpm)
    response = tpm.execute(startup)
    if effect is None:
        assert response == refusal(0x1C4)
        return
    assert rc_of(response) == 0
    assert journal[-1].detail["effect"] == effect
    assert read_one(tpm, SHA256, 6) == (value if effect == "resume" else bytes(32))
    counts = {"reset": (2, 0), "restart": (1, 1), "resume": (1, 1)}
    assert clock_info(tpm)[2:4] == counts[effect]


def test_first_startup_is_a_reset() -> None:
    tpm, journal, _ = started()
    assert clock_info(tpm)[2:4] == (1, 0)
    assert [(each.source, each.kind, each.detail) for each in journal] == [
        ("tpm", "startup", {"type": "clear", "effect": "reset", "locality": 0})
    ]


def test_startup_state_on_a_new_tpm() -> None:
    tpm, _, _ = off_tpm()
    tpm.power_on()
    assert tpm.execute(STARTUP_STATE) == refusal(0x1C4)
    assert rc_of(tpm.execute(STARTUP_CLEAR)) == 0


def test_resume_keeps_0_to_15_only() -> None:
    tpm, _, _ = started()
    for pcr in (0, 15, 16, 23):
        tpm.execute(event(pcr, b"x"))
    for pcr in (17, 22):
        tpm.execute(event(pcr, b"x"), 2)
    kept = {pcr: read_one(tpm, SHA256, pcr) for pcr in range(16)}
    tpm.execute(SHUTDOWN_STATE)
    power_cycle(tpm)
    tpm.execute(STARTUP_STATE)
    assert {pcr: read_one(tpm, SHA256, pcr) for pcr in range(16)} == kept
    for pcr in (16, 23):
        assert read_one(tpm, SHA256, pcr) == bytes(32)
    for pcr in range(17, 23):
        assert read_one(tpm, SHA256, pcr) == ONES


def test_resume_at_another_locality_is_refused() -> None:
    tpm, _, _ = off_tpm()
    tpm.power_on()
    tpm.execute(STARTUP_CLEAR, 3)
    tpm.execute(SHUTDOWN_STATE)
    power_cycle(tpm)
    assert tpm.execute(STARTUP_STATE, 0) == refusal(0x907)
    assert rc_of(tpm.execute(STARTUP_STATE, 3)) == 0
    assert read_one(tpm, SHA256, 0)[-1] == 3


@pytest.mark.parametrize("raw", [extend(15, (SHA256, bytes(32))), event(0, b"x")])
def test_change_after_shutdown_spoils_it(raw: bytes) -> None:
    tpm, _, _ = started()
    tpm.execute(SHUTDOWN_STATE)
    assert rc_of(tpm.execute(raw)) == 0
    power_cycle(tpm)
    assert tpm.execute(STARTUP_STATE) == refusal(0x1C4)


@pytest.mark.parametrize("raw", [extend(16, (SHA256, bytes(32))), reset(23)])
def test_change_of_what_is_not_saved_does_not(raw: bytes) -> None:
    tpm, _, _ = started()
    tpm.execute(SHUTDOWN_STATE)
    assert rc_of(tpm.execute(raw)) == 0
    power_cycle(tpm)
    assert rc_of(tpm.execute(STARTUP_STATE)) == 0


def test_saved_state_is_used_once() -> None:
    tpm, _, _ = started()
    tpm.execute(SHUTDOWN_STATE)
    power_cycle(tpm)
    tpm.execute(STARTUP_STATE)
    power_cycle(tpm)
    assert tpm.execute(STARTUP_STATE) == refusal(0x1C4)


def test_later_shutdown_counts() -> None:
    tpm, _, _ = started()
    tpm.execute(SHUTDOWN_STATE)
    tpm.execute(SHUTDOWN_CLEAR)
    power_cycle(tpm)
    assert tpm.execute(STARTUP_STATE) == refusal(0x1C4)


def test_shutdown_state_after_allocation_is_refused() -> None:
    """The saved values would not be those of the next allocation."""
    tpm, journal, _ = started()
    tpm.execute(allocate((SHA1, "ffffff")))
    before = whole_state(tpm)
    assert tpm.execute(SHUTDOWN_STATE) == refusal(0x1CA)
    assert whole_state(tpm) == before
    assert rc_of(tpm.execute(SHUTDOWN_CLEAR)) == 0
    assert (journal[-1].kind, journal[-1].detail) == ("shutdown", {"type": "clear"})


def test_shutdown_is_noted() -> None:
    tpm, journal, _ = started()
    tpm.execute(SHUTDOWN_STATE)
    assert (journal[-1].source, journal[-1].kind) == ("tpm", "shutdown")
    assert journal[-1].detail == {"type": "state"}


@pytest.mark.parametrize("full", [b"\0", b"\1"])
def test_self_test_passes(full: bytes) -> None:
    assert started()[0].execute(command(0x143, full)) == refusal(0)


@pytest.mark.parametrize(("params", "rc"), [(b"\2", 0x1C4), (b"", 0x1DA)])
def test_self_test_refusals(params: bytes, rc: int) -> None:
    assert started()[0].execute(command(0x143, params)) == refusal(rc)


def test_test_result_is_success() -> None:
    response = started()[0].execute(command(0x17C))
    assert response.hex() == "80010000001000000000" + "0000" + "00000000"


@pytest.mark.parametrize(
    ("shutdown", "startup"),
    [
        (None, STARTUP_CLEAR),
        (SHUTDOWN_CLEAR, STARTUP_CLEAR),
        (SHUTDOWN_STATE, STARTUP_CLEAR),
        (SHUTDOWN_STATE, STARTUP_STATE),
    ],
)
def test_no_start_finds_a_loaded_object(shutdown: bytes | None, startup: bytes) -> None:
    tpm, _, _ = started()
    start = command(0x186, bytes(2) + b"\0\x0b")
    for _ in range(3):
        assert rc_of(tpm.execute(start)) == 0
    assert rc_of(tpm.execute(start)) == 0x902
    if shutdown is not None:
        assert rc_of(tpm.execute(shutdown)) == 0
    power_cycle(tpm)
    assert rc_of(tpm.execute(startup)) == 0
    flush = command(0x165, (0x80000000).to_bytes(4, "big"))
    assert tpm.execute(flush) == refusal(0x1CB)
    assert tpm.execute(start)[10:] == (0x80000000).to_bytes(4, "big")


def test_update_counter_through_starts() -> None:
    """Reset begins anew; a PCR that a later Startup sets has changed once more."""
    tpm, _, _ = started()
    tpm.execute(event(3, b"x"))
    counter = update_counter(tpm)
    tpm.execute(SHUTDOWN_STATE)
    power_cycle(tpm)
    tpm.execute(STARTUP_STATE)
    assert update_counter(tpm) > counter
    power_cycle(tpm)
    tpm.execute(STARTUP_CLEAR)
    assert update_counter(tpm) == 20
