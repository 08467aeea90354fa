"""`Machine`, the public way to a machine: run, look, fork."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from pefstack import BootFailure, DeviceError, Machine, UsageError
from pefstack.hw.tpm.codes import TpmAlgId
from pefstack.images.event_log import EventLog
from pefstack.images.event_log_replay import replay
from pefstack.tools.machine_file import BUILT_IN

STAGES = [
    "sbe_immutable",
    "sbe_mutable",
    "hostboot_loader",
    "hostboot_init",
    "hostboot_ext",
    "opal",
]


def test_a_boot_stage_by_stage(small: Machine) -> None:
    seen = []
    while small.stage is not None:
        seen.append(small.stage)
        assert small.step() == small.stage
    assert seen == STAGES
    assert small.step() is None
    assert small.journal[len(small.journal) - 1].kind == "boot-complete"


@pytest.mark.parametrize("until", STAGES)
def test_run_until_a_stage(small: Machine, until: str) -> None:
    assert small.run(until=until) is small
    following = [*STAGES, None][STAGES.index(until) + 1]
    assert small.stage == following
    started = [each.source for each in small.journal if each.kind == "start"]
    assert started == STAGES[: STAGES.index(until) + 1]
    small.run(until=until)
    assert small.stage == following
    assert small.run().stage is None


def test_an_unknown_stage(small: Machine) -> None:
    with pytest.raises(UsageError, match="no stage 'linux'; there are: sbe_immutable,"):
        small.run(until="linux")


def test_a_machine_is_off_at_first(small: Machine) -> None:
    assert small.stage == "sbe_immutable"
    assert len(small.journal) == 0
    assert small.event_log == b""
    assert repr(small) == "<Machine small, next sbe_immutable>"
    with pytest.raises(DeviceError, match="TPM"):
        small.pcr(6)


def test_a_name_a_file_and_a_path_are_the_same_machine(booted: Machine) -> None:
    for place in (str(BUILT_IN / "small.toml"), BUILT_IN / "small.toml", Path("small")):
        assert Machine(place).run().pcrs() == booted.pcrs()


def test_pcr_values_follow_from_the_journal(booted: Machine) -> None:
    values = dict.fromkeys(range(24), bytes(32))
    for event in booted.journal:
        if event.kind == "extend" and event.detail["bank"] == "sha256":
            pcr, digest = int(event.detail["pcr"]), str(event.detail["digest"])
            old = values[pcr]
            values[pcr] = hashlib.sha256(old + bytes.fromhex(digest)).digest()
            assert event.detail["value"] == values[pcr].hex()
    shown = booted.pcrs()
    assert {n: shown[n] for n in range(17)} == {n: values[n] for n in range(17)}
    assert shown[17] == b"\xff" * 32
    assert booted.pcr(6) == values[6]


def test_pcr_values_in_any_order(booted: Machine) -> None:
    values = booted.pcrs()
    asked = (6, 0, 23, 6, 1, 17, 5, 4, 3, 2)
    assert booted.pcrs(asked) == {index: values[index] for index in asked}
    assert booted.pcrs(()) == {}


@pytest.mark.parametrize(
    ("index", "bank"), [(24, "sha256"), (-1, "sha256"), (0, "md5")]
)
def test_a_pcr_that_does_not_exist(booted: Machine, index: int, bank: str) -> None:
    with pytest.raises(UsageError, match="no PCRs"):
        booted.pcr(index, bank)
    with pytest.raises(UsageError, match="no PCRs"):
        booted.pcrs([index], bank)


def test_a_bank_that_is_not_allocated(booted: Machine) -> None:
    with pytest.raises(UsageError, match="bank sha384 is not allocated"):
        booted.pcr(0, "sha384")


def test_the_event_log_replays_to_the_pcrs(booted: Machine) -> None:
    log = EventLog.from_bytes(booted.event_log)
    assert log.to_bytes() == booted.event_log
    values = {pcr: bytes(32) for pcr in range(8)}
    for record in log.records:
        digest = dict(record.digests)[TpmAlgId.SHA256]
        old = values[record.pcr_index]
        values[record.pcr_index] = hashlib.sha256(old + digest).digest()
    assert values == booted.pcrs(range(8))
    assert replay(log) == {TpmAlgId.SHA256: values}


def test_a_refused_machine_stays_as_it_is(small: Machine) -> None:
    small.flash["HBB"].write(b"\xff" * 8, offset=0x2000)
    with pytest.raises(BootFailure) as refused:
        small.run()
    assert refused.value.stage == "hostboot_loader"
    assert small.stage is None
    count = len(small.journal)
    assert small.journal[count - 1].kind == "boot-failure"
    assert small.step() is None
    assert len(small.journal) == count


def test_forks_end_like_the_original(small: Machine) -> None:
    small.run(until="sbe_mutable")
    others = [small.fork(), small.fork()]
    small.run()
    for other in others:
        assert repr(other) == "<Machine small, next hostboot_loader>"
        other.run()
        assert list(other.journal) == list(small.journal)
        assert other.pcrs() == small.pcrs()


def test_two_machines_know_nothing_of_each_other() -> None:
    one, two = Machine("small"), Machine("small", settings=["machine.chip.smd=true"])
    one.run("sbe_immutable")
    two.run()
    one.run()
    assert one.pcr(6) == Machine("small").run().pcr(6) != two.pcr(6)
