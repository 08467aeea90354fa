"""Arbitrary bytes and spoilt commands: an answer to each, no change where refused."""

from __future__ import annotations

import os
import time
import tracemalloc
from contextlib import suppress
from typing import Any

import pytest

from lockstep.dice import Dice
from lockstep.driver import Driver
from lockstep.mutation import mutated
from lockstep.results import Unlike
from pefstack.hw.tpm.engine import Tpm
from pefstack.hw.tpm.response_codes import describe
from tpm_kit import ALL_BANKS, PassingTpm, off_tpm, rc_of, whole_state

COMMANDS = int(os.environ.get("PEFSTACK_NOISE", "4000"))
CASE = 2000  # commands for one TPM
SECONDS = 10.0  # an RSA key in pure Python on a busy machine
GUESSES = ("dictionary_attack", "generation", "orderly", "saved_pcrs", "hash_sequence")


class Watched(PassingTpm):
    """A TPM whose every answer is looked at, and its state around it."""

    tpm: Tpm

    def __init__(self, tpm: Tpm, dice: Dice) -> None:
        super().__init__(tpm)
        self.dice = dice
        self.sent = 0
        self.refused = 0
        self.state = steady(tpm)

    def power_on(self) -> None:
        self.tpm.power_on()
        self.state = steady(self.tpm)

    def power_off(self) -> None:
        self.tpm.power_off()

    def hash_start(self) -> None:
        self.tpm.hash_start()

    def hash_data(self, data: bytes) -> None:
        self.tpm.hash_data(data)

    def hash_end(self) -> None:
        self.tpm.hash_end()
        self.state = steady(self.tpm)

    def established(self) -> bool:
        return self.tpm.established()

    def reset_established(self, locality: int) -> bool:
        return self.tpm.reset_established(locality)

    def execute(self, command: bytes, locality: int = 0) -> bytes:
        """The answer to the command, after some noise."""
        while self.dice.one_in(2):
            noise = self.dice.randbytes(self.dice.choice((0, 5, 9, 10, 12, 40, 4096)))
            self._watch(self.dice.choice((noise, *mutated(self.dice, (command,)))))
        return self._watch(command, locality)

    def _watch(self, command: bytes, locality: int = 0) -> bytes:
        begun = time.monotonic()
        answer = self.tpm.execute(command, locality)
        assert time.monotonic() - begun < SECONDS, command.hex()
        well_formed(answer, command)
        after = steady(self.tpm)
        self.sent += 1
        if rc_of(answer):
            self.refused += 1
            unchanged(self.state, after, rc_of(answer), command)
        self.state = after
        return answer


def steady(tpm: Tpm) -> dict[str, Any]:
    """Everything that a refused command must leave."""
    state = whole_state(tpm)
    state["state"] = {
        name: value for name, value in state["state"].items() if name != "hash_sequence"
    }
    return state


def unchanged(old: dict[str, Any], new: dict[str, Any], rc: int, raw: bytes) -> None:
    """Except what counts guesses (Part 1, "Dictionary Attack Protection")."""
    if old == new:
        return
    before, after = dict(old["state"]), dict(new["state"])
    for name in GUESSES:
        before.pop(name, None), after.pop(name, None)
    differ = [name for name in before if before[name] != after[name]]
    assert differ in ([], ["nv"]), (hex(rc), differ, raw.hex())
    if differ:  # a PIN index counts by itself, before the command is looked at
        first, second = dict(before["nv"]), dict(after["nv"])
        old_ones, new_ones = first.pop("by_handle"), second.pop("by_handle")
        changed = [each for h, each in old_ones.items() if each != new_ones[h]]
        kinds = {each["public"]["attributes"] >> 4 & 15 for each in changed}
        assert first == second and kinds <= {8, 9}, (hex(rc), raw.hex())
    assert old["entropy"] == new["entropy"], (hex(rc), raw.hex())


def well_formed(answer: bytes, command: bytes) -> None:
    """Tag, size, a known response code; an error has ten bytes."""
    tag, size, rc = answer[:2], int.from_bytes(answer[2:6], "big"), rc_of(answer)
    assert size == len(answer) <= 4096, command.hex()
    if rc:
        assert (tag, size) == (b"\x80\x01", 10), command.hex()
        assert "unknown" not in describe(rc), (hex(rc), command.hex())
        return
    assert tag == command[:2], command.hex()


def go_on(driver: Driver, dice: Dice) -> None:
    """One step; the noise in between may make a fool of the client."""
    with suppress(Unlike):
        driver.step(dice)


def watched(seed: int) -> Watched:
    """A new TPM, and what makes noise for it."""
    tpm, _, clock = off_tpm(banks=ALL_BANKS, allocated=ALL_BANKS)
    tpm.power_on()
    clock.now = 60_000
    return Watched(tpm, Dice(f"noise {seed}"))


def test_noise_is_answered_and_changes_nothing() -> None:
    """PEFSTACK_NOISE: how many commands."""
    sent, refused, seed = 0, 0, 0
    while sent < COMMANDS:
        side = watched(seed)
        driver = Driver([side], Dice(f"case {seed}"))
        driver.start()
        step = 0
        while side.sent < min(CASE, COMMANDS):
            go_on(driver, Dice(f"{seed}/{step}"))
            step += 1
        sent, refused, seed = sent + side.sent, refused + side.refused, seed + 1
    assert sent // 2 < refused < sent * 19 // 20


def test_noise_does_not_pile_up() -> None:
    """Nothing of a thousand refused commands is kept."""
    side = watched(99)
    driver = Driver([side], Dice("memory"))
    driver.start()
    for step in range(200):
        go_on(driver, Dice(f"memory/{step}"))
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(1000):
            side.tpm.execute(side.dice.randbytes(200))
        assert tracemalloc.get_traced_memory()[0] - before < 200_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size", range(14))
def test_short_commands(size: int) -> None:
    side = watched(size)
    answer = side.execute(bytes.fromhex("80010000000c00000144000000")[:size])
    assert len(answer) == 10
