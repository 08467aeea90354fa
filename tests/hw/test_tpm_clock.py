"""ReadClock: time, clock, the counts of starts, and when Clock is safe."""

from tpm_kit import (
    SHUTDOWN_CLEAR,
    SHUTDOWN_STATE,
    STARTUP_CLEAR,
    STARTUP_STATE,
    clock_info,
    command,
    off_tpm,
    power_cycle,
    refusal,
    started,
)


def test_time_and_clock_run_with_power() -> None:
    tpm, _, clock = off_tpm()
    clock.advance(1000)
    tpm.power_on()
    clock.advance(5)
    tpm.execute(STARTUP_CLEAR)
    assert clock_info(tpm) == (5, 5, 1, 0, 1)
    clock.advance(20)
    assert clock_info(tpm) == (25, 25, 1, 0, 1)


def test_clock_stops_without_power_and_time_begins_anew() -> None:
    tpm, _, clock = started()
    clock.advance(100)
    tpm.execute(SHUTDOWN_CLEAR)
    tpm.power_off()
    clock.advance(10_000)
    tpm.power_on()
    clock.advance(7)
    tpm.execute(STARTUP_CLEAR)
    assert clock_info(tpm) == (7, 107, 2, 0, 1)


def test_clock_is_not_safe_after_power_was_lost() -> None:
    tpm, _, clock = started()
    clock.advance(100)
    power_cycle(tpm)
    tpm.execute(STARTUP_CLEAR)
    assert clock_info(tpm) == (0, 100, 2, 0, 0)
    clock.advance(4096 - 101)
    assert clock_info(tpm)[4] == 0
    clock.advance(1)
    assert clock_info(tpm)[4] == 1


def test_counts_of_starts() -> None:
    tpm, _, _ = started()
    counts = []
    for shutdown, startup in (
        (SHUTDOWN_STATE, STARTUP_STATE),
        (SHUTDOWN_STATE, STARTUP_CLEAR),
        (SHUTDOWN_CLEAR, STARTUP_CLEAR),
        (SHUTDOWN_STATE, STARTUP_STATE),
    ):
        tpm.execute(shutdown)
        power_cycle(tpm)
        tpm.execute(startup)
        counts.append(clock_info(tpm)[2:4])
    assert counts == [(1, 1), (1, 2), (2, 0), (2, 1)]


def test_no_parameters() -> None:
    assert started()[0].execute(command(0x181, b"\0")) == refusal(0x095)
