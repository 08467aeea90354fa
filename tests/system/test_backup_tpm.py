"""A backup TPM: poisoned by its chip's SBE and by Hostboot, and missed by nobody."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Final

import pytest

from pefstack import Machine
from pefstack.firmware import hand_over
from pefstack.hw.chip import SCRATCH_11, SECURITY_SWITCH
from pefstack.hw.processor import Processor, Role
from pefstack.hw.tpm import client
from pefstack.images.event_log import EventLog
from tpm_kit import PassingTpm

CHIPS: Final = ("machine.secondary-chips=[{}, {}]", 'machine.backup-tpm={seed="two"}')
VECTORS: Final = Path(__file__).parent.parent / "vectors" / "tpm"
COMMANDS: Final = json.loads((VECTORS / "sbe-tpm-commands.json").read_text())
HBBL: Final = "image.seeprom.hbbl.content.fill=0x1000"
PCRS: Final = tuple(range(8))


def machine_with(*settings: str, profile: str = "p10") -> Machine:
    chosen = [f"machine.measure.profile={profile}", HBBL, *CHIPS, *settings]
    return Machine("small", settings=chosen)


def alternate(machine: Machine) -> Processor:
    found = machine.board.alternate
    assert found is not None
    return found


def values(machine: Machine) -> list[bytes]:
    command = client.pcr_read({0x000B: PCRS})
    answer = client.response(alternate(machine).tpm.execute(command))
    return [*client.pcr_values(answer).digests]


def test_chip_1_is_the_alternate_master() -> None:
    board = machine_with().board
    roles = [each.role for each in board.secondaries]
    assert roles == [Role.ALTERNATE, Role.SECONDARY]
    assert Machine("small").board.alternate is None


@pytest.mark.parametrize("profile", ["p10", "patent", "p9"])
def test_the_backup_tpm_has_poison_and_nothing_else(profile: str) -> None:
    machine = machine_with(profile=profile).run()
    assert machine.board.poisoned == {"backup-tpm"}
    poisons = [event for event in machine.journal if event.kind == "poison"]
    expected = ["chip1.sbe_immutable", "chip1.hostboot_ext"]
    assert [event.source for event in poisons] == expected[profile == "p9" :]
    digests = [bytes.fromhex(str(event.detail["digest"])) for event in poisons]
    assert len({*digests}) == len(digests)
    value = bytes(32)
    for digest in digests:
        value = hashlib.sha256(value + digest).digest()
    assert values(machine) == [value] * 8


@pytest.mark.parametrize("profile", ["p10", "patent", "p9"])
def test_the_primarys_tpm_and_log_know_nothing_of_it(profile: str) -> None:
    two = machine_with(profile=profile).run()
    settings = [f"machine.measure.profile={profile}", HBBL, CHIPS[0]]
    one = Machine("small", settings=settings).run()
    assert two.pcr(6) == one.pcr(6)
    assert two.pcr(0) == one.pcr(0)
    ours = [
        (each.pcr_index, each.event)
        for each in EventLog.from_bytes(two.event_log).records
    ]
    theirs = EventLog.from_bytes(one.event_log).records
    assert ours == [(each.pcr_index, each.event) for each in theirs]


def test_the_bytes_that_the_alternate_sbe_sends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = machine_with()
    sent: list[str] = []

    class Recorder(PassingTpm):
        """Notes what is sent and passes it on."""

        def execute(self, command: bytes, locality: int = 0) -> bytes:
            sent.append(command.hex())
            return super().execute(command, locality)

    chip = alternate(machine)
    monkeypatch.setattr(chip, "tpm", Recorder(chip.tpm))
    machine.run()
    names = ("startup_clear", "get_cap_pcrs", "get_random_32")
    assert sent[:3] == [COMMANDS[name] for name in names]
    head = COMMANDS["pcr_extend_template"].partition("PP")[0]
    assert [each[: len(head) + 2] for each in sent[3:11]] == [
        f"{head}{pcr:02x}" for pcr in PCRS
    ]
    assert sent[11] == COMMANDS["get_random_32"]  # Hostboot
    assert len(sent) == 20


STEPS: Final = {"read-id": 1, "locality": 2, "startup": 3, "detect": 4, "poison": 6}


@pytest.mark.parametrize("profile", ["p10", "patent"])
@pytest.mark.parametrize("name", [*STEPS, "allocate"])
def test_a_backup_tpm_that_fails_is_given_up_on_its_own_chip(
    name: str, profile: str
) -> None:
    """Nobody requires it, and in every profile the boot goes on."""
    fault = f'machine.backup-tpm.fails-at="{name}"'
    banks = 'machine.backup-tpm.allocated=["sha1", "sha256"]'
    settings = [fault, banks] if name == "allocate" else [fault]
    machine = machine_with(*settings, profile=profile).run()
    chip = alternate(machine).chip
    assert chip.get_scom(SCRATCH_11) >> 48 & 0xFF == {**STEPS, "allocate": 5}[name]
    assert chip.get_scom(SECURITY_SWITCH) >> 51 & 1
    (lost,) = (event for event in machine.journal if event.kind == "tpm-lost")
    assert lost.source == "chip1.sbe_immutable"
    assert not any(
        event.source == "backup-tpm" and event.kind == "extend"
        for event in machine.journal
    )
    own = machine.board.chip
    assert own.get_scom(SCRATCH_11) == 0
    assert not own.get_scom(SECURITY_SWITCH) >> 51 & 1


def test_a_backup_tpm_that_dies_under_hostboot_leaves_no_code() -> None:
    machine = machine_with("machine.backup-tpm.dies-at=12").run()
    chip = alternate(machine).chip
    assert chip.get_scom(SCRATCH_11) == 0
    assert chip.get_scom(SECURITY_SWITCH) >> 51 & 1
    (lost,) = (event for event in machine.journal if event.kind == "tpm-lost")
    assert lost.source == "chip1.hostboot_ext"


def test_power9_hostboot_starts_a_backup_tpm_that_may_fail_too() -> None:
    machine = machine_with("machine.backup-tpm.fails-at=startup", profile="p9").run()
    assert alternate(machine).chip.get_scom(SECURITY_SWITCH) >> 51 & 1
    assert machine.board.poisoned == set()


@pytest.mark.parametrize(("profile", "flags"), [("p10", 0xC0), ("p9", 0)])
def test_hdat_shows_both_tpms(profile: str, flags: int) -> None:
    machine = machine_with(profile=profile).run()
    primary, backup = hand_over.tpms_of(machine.board)
    assert (primary.chip_id, primary.flags, primary.status) == (0, 0, 1)
    assert (backup.chip_id, backup.flags, backup.status) == (1, flags, 1)
    assert (backup.srtm_log, len(primary.srtm_log)) == (b"", 0x10000)
    (hdat,) = (event for event in machine.journal if event.kind == "hdat")
    assert (hdat.detail["tpms"], hdat.detail["trusted"]) == (2, 1)


def test_hdat_says_which_tpm_was_given_up() -> None:
    machine = machine_with("machine.backup-tpm.fails-at=detect").run()
    primary, backup = hand_over.tpms_of(machine.board)
    assert (primary.status, backup.status) == (1, 2)
    machine = machine_with("machine.tpm.fails-at=hbbl", "machine.tpm.required=false")
    primary, backup = hand_over.tpms_of(machine.run().board)
    assert (primary.status, backup.status) == (2, 1)
    (hdat,) = (event for event in machine.journal if event.kind == "hdat")
    assert hdat.detail["trusted"] == 0


def test_two_tpms_of_one_seed_are_two() -> None:
    machine = machine_with('machine.backup-tpm={seed="same"}', "machine.tpm.seed=same")
    command = client.get_random(32)
    for tpm in (machine.board.tpm, alternate(machine).tpm):
        tpm.power_on()
        client.response(tpm.execute(client.startup()))
    answers = {
        machine.board.tpm.execute(command),
        alternate(machine).tpm.execute(command),
    }
    assert len(answers) == 2


def test_a_fork_has_a_backup_tpm_of_its_own() -> None:
    machine = machine_with().run()
    other = machine.fork()
    alternate(other).tpm.execute(client.pcr_extend(3, {0x000B: b"\1" * 32}))
    assert values(machine) != values(other)
    assert [e.source for e in other.journal][len(machine.journal) :] == ["backup-tpm"]
