"""Hash start, data, end: values that swtpm gave, and the model's own rules."""

from __future__ import annotations

from hashlib import sha1, sha256, sha384
from typing import Any

import pytest

from pefstack.hw.journal import Journal
from pefstack.hw.tpm.engine import Tpm
from tpm_kit import (
    ALL_BANKS,
    SHA1,
    SHA256,
    SHA384,
    SHUTDOWN_STATE,
    STARTUP_CLEAR,
    STARTUP_STATE,
    clock_info,
    off_tpm,
    power_cycle,
    rc_of,
    read_one,
    started,
    update_counter,
    vector,
)

RECORDED: dict[str, Any] = {
    each["name"]: each.get("value") for each in vector("swtpm_control_channel.json")
}
H_CRTM = "PCR0 sha256 after H-CRTM hash of abc before Startup"


def hash_abc(tpm: Tpm) -> None:
    tpm.hash_start()
    tpm.hash_data(b"a")
    tpm.hash_data(b"bc")
    tpm.hash_end()


def test_after_startup_it_is_a_drtm() -> None:
    tpm, _, _ = started()
    hash_abc(tpm)
    name = "PCR17 sha256 after hash of abc, after Startup"
    assert read_one(tpm, SHA256, 17).hex() == RECORDED[name]
    for pcr in range(18, 23):
        assert read_one(tpm, SHA256, pcr).hex() == RECORDED["PCR18 after it"]
    assert read_one(tpm, SHA256, 16) == read_one(tpm, SHA256, 23) == bytes(32)


def test_before_startup_it_is_an_h_crtm() -> None:
    tpm, _, _ = off_tpm()
    tpm.power_on()
    hash_abc(tpm)
    assert rc_of(tpm.execute(STARTUP_CLEAR, 3)) == 0
    assert read_one(tpm, SHA256, 0).hex() == RECORDED[H_CRTM]
    assert read_one(tpm, SHA256, 17) == b"\xff" * 32


def test_every_allocated_bank_gets_its_own_digest() -> None:
    tpm, _, _ = started(allocated=(SHA1, SHA384))
    hash_abc(tpm)
    hashes = ((SHA1, sha1), (SHA384, sha384))
    for alg, function in hashes:
        digest = function(b"abc").digest()
        expected = function(bytes(len(digest)) + digest).digest()
        assert read_one(tpm, alg, 17) == expected
    assert read_one(tpm, SHA256, 17) == b""


def test_the_journal_tells_what_went_in() -> None:
    tpm, journal, _ = started()
    hash_abc(tpm)
    assert (journal[-1].source, journal[-1].kind) == ("tpm", "hash-sequence")
    digest = sha256(b"abc").digest()
    assert journal[-1].detail == {
        "pcr": 17,
        "bank": "sha256",
        "digest": digest.hex(),
        "value": sha256(bytes(32) + digest).hexdigest(),
    }


def test_any_command_ends_the_sequence() -> None:
    tpm, _, _ = started()
    tpm.hash_start()
    tpm.execute(b"no command at all")
    tpm.hash_data(b"abc")
    tpm.hash_end()
    assert read_one(tpm, SHA256, 17) == b"\xff" * 32


def test_data_and_end_without_a_start_do_nothing() -> None:
    tpm, journal, _ = started()
    before = len(journal)
    tpm.hash_data(b"abc")
    tpm.hash_end()
    assert len(journal) == before
    assert not tpm.established()


@pytest.mark.parametrize("banks", [(SHA256,), ALL_BANKS])
def test_a_drtm_counts_a_restart_and_a_change_a_bank(banks: tuple[int, ...]) -> None:
    tpm, _, _ = started(banks=ALL_BANKS, allocated=banks)
    restarts, changes = clock_info(tpm)[3], update_counter(tpm)
    hash_abc(tpm)
    assert clock_info(tpm)[3] == restarts + 1
    assert update_counter(tpm) == changes + len(banks)  # as swtpm


def test_the_establishment_bit_outlasts_power() -> None:
    tpm, _, _ = started()
    assert not tpm.established()
    tpm.hash_start()
    assert tpm.established()
    power_cycle(tpm)
    assert tpm.established()


@pytest.mark.parametrize("locality", range(6))
def test_only_localities_3_and_4_clear_it(locality: int) -> None:
    tpm, _, _ = started()
    tpm.hash_start()
    assert tpm.reset_established(locality) is (locality in (3, 4))
    assert tpm.established() is (locality not in (3, 4))


def test_without_power_there_is_no_sequence() -> None:
    tpm, _, _ = off_tpm()
    hash_abc(tpm)
    assert not tpm.established()
    tpm.power_on()
    tpm.hash_start()
    power_cycle(tpm)
    tpm.hash_end()
    assert rc_of(tpm.execute(STARTUP_CLEAR)) == 0
    assert read_one(tpm, SHA256, 0) == bytes(32)


@pytest.mark.parametrize(("first", "then"), [(0, 1), (1, 0), (1, 1), (0, 0)])
def test_resume_needs_an_h_crtm_exactly_when_there_was_one(
    first: int, then: int
) -> None:
    tpm, _, _ = off_tpm()
    tpm.power_on()
    if first:
        hash_abc(tpm)
    assert rc_of(tpm.execute(STARTUP_CLEAR)) == 0
    value = read_one(tpm, SHA256, 0)
    assert rc_of(tpm.execute(SHUTDOWN_STATE)) == 0
    power_cycle(tpm)
    if then:
        hash_abc(tpm)
    assert rc_of(tpm.execute(STARTUP_STATE)) == (0 if first == then else 0x1C4)
    if first == then:
        assert read_one(tpm, SHA256, 0) == value


def test_a_fork_goes_on_with_the_sequence_on_its_own() -> None:
    tpm, _, _ = started()
    tpm.hash_start()
    tpm.hash_data(b"a")
    fork = tpm.fork(Journal())
    for each, rest in ((tpm, b"bc"), (fork, b"x")):
        each.hash_data(rest)
        each.hash_end()
    for each, text in ((tpm, b"abc"), (fork, b"ax")):
        expected = sha256(bytes(32) + sha256(text).digest()).digest()
        assert read_one(each, SHA256, 17) == expected
