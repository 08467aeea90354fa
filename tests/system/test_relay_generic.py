"""A relay that does anything, as a script of bytes decides: it gets no secret.

`PEFSTACK_RELAY_RUNS` in the environment says how many scripts hypothesis tries for each
client; the long form is 100000.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

import pytest
from _pytest.monkeypatch import MonkeyPatch
from hypothesis import given, settings
from hypothesis import strategies as st

from pef_tpm_kit import SECRET, model
from pefstack.firmware.hypervisor.relay.generic.deliveries import ANYWHERE, FITTING
from pefstack.firmware.hypervisor.relay.generic.moves import MOVES
from pefstack.firmware.hypervisor.relay.generic.script import Scripted
from pefstack.hw.entropy import Entropy
from relay_kit import (
    attempt,
    patched_secret,
    relay_in,
    swtpm_world,
    without_hmac_check,
    without_proof,
    without_salt,
)
from relay_search_kit import (
    COUNT,
    Run,
    ends,
    first_broken,
    lockbox_run,
    slot_run,
)
from tpm_kit import PassingTpm

RUNS: Final = int(os.environ.get("PEFSTACK_RELAY_RUNS", settings().max_examples))
SCRIPTS: Final = st.binary(min_size=160, max_size=512)
LEFT_OUT: Final[dict[str, Callable[[MonkeyPatch], None]]] = {
    "salt": without_salt,
    "proof of P": without_proof,
    "nonceTPM": lambda patch: patched_secret(patch, nonce_tpm=b""),
    "expiration 0": lambda patch: patched_secret(patch, expiration=-3600),
    "HMAC check": without_hmac_check,
}


def test_random_scripts_get_nothing() -> None:
    assert first_broken(slot_run) == {}


@pytest.mark.parametrize("defence", LEFT_OUT)
def test_random_scripts_find_what_is_left_out(
    defence: str, monkeypatch: MonkeyPatch
) -> None:
    LEFT_OUT[defence](monkeypatch)
    assert first_broken(slot_run) != {}


@settings(max_examples=RUNS)
@given(script=SCRIPTS)
def test_any_script_gets_nothing_of_a_slot(script: bytes) -> None:
    run = slot_run(script)
    assert run.broken() == [], run.relay.done


@settings(max_examples=RUNS)
@given(script=SCRIPTS)
def test_any_script_gets_nothing_of_a_lockbox(script: bytes) -> None:
    run = lockbox_run(script)
    assert run.broken() == [], run.relay.done


@cache
def random_runs() -> list[Run]:
    stream = Entropy("other", "scripts")
    return [slot_run(stream.random_bytes(384)) for _ in range(COUNT)]


def test_random_scripts_do_everything_there_is() -> None:
    done = {deed.split(": ")[1] for run in random_runs() for deed in run.relay.done}
    deeds = {*MOVES, *ANYWHERE, *(each for some in FITTING.values() for each in some)}
    names = {getattr(getattr(deed, "func", deed), "__name__", "") for deed in deeds}
    assert done == names


def test_some_scripts_deny_at_each_step_and_some_let_pass() -> None:
    verdicts = [verdict for run in random_runs() for verdict in run.verdicts]
    opened = [verdict for verdict in verdicts if verdict.secret == SECRET]
    steps = {each.failure.step for each in verdicts if each.failure}
    assert len(opened) > len(verdicts) // 10
    assert steps >= {1, 2, 3, 4, 6, 7, 9, 10, 12}


def test_an_empty_script_hands_everything_on() -> None:
    run = slot_run(b"")
    assert [each.secret for each in run.verdicts] == [SECRET] * 3
    assert run.broken() == []


def test_a_script_is_followed_the_same_way_again() -> None:
    script = Entropy("again", "scripts").random_bytes(384)
    assert slot_run(script).relay.view == slot_run(script).relay.view


@pytest.mark.parametrize("play", [slot_run, lockbox_run])
def test_each_secret_is_found_when_it_is_planted(play: Callable[[bytes], Run]) -> None:
    names = list(play(b"").secrets)
    assert len(names) >= 8
    for name in names:
        run = play(b"")
        run.relay.view.append(b"before" + run.secrets[name] + b"after")
        assert f"seen: {name}" in run.broken()


def test_another_secret_or_another_pcr_6_is_noticed() -> None:
    run = slot_run(b"")
    run.wanted = bytes(40)
    run.watched.pcr6.append(bytes(32))
    assert run.broken() == ["another secret came out", "unsealed with another PCR 6"]


class WholeCommands(PassingTpm):
    """A swtpm behind a socket waits for ever for a command cut short."""

    def execute(self, command: bytes, locality: int = 0) -> bytes:
        size = int.from_bytes(command[2:6], "big")
        if len(command) < 10 or size != len(command):
            return bytes.fromhex("80010000000a00000142")  # TPM_RC_COMMAND_SIZE
        return super().execute(command, locality)


@pytest.mark.interop
def test_random_scripts_end_on_swtpm_as_on_ours(tmp_path: Path) -> None:
    stream = Entropy("swtpm", "scripts")
    with swtpm_world(tmp_path, "strict") as world:
        world.tpm = WholeCommands(world.tpm)
        for number in range(20):
            script = stream.random_bytes(384)
            world.reboot(seed=f"swtpm {number}")
            there, here = slot_run(script, world), slot_run(script)
            assert there.broken() == []
            assert ends(there) == ends(here), here.relay.done


def test_the_generic_relay_of_the_table_draws_its_script() -> None:
    relay = relay_in(model(), "generic")
    assert isinstance(relay, Scripted)
    attempt(model(), relay)
    assert relay.done
