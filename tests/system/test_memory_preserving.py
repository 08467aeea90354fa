"""A cold start forgets; a memory-preserving IPL keeps memory, SAB and the locks."""

from __future__ import annotations

from typing import Final

import pytest

from pefstack import BootFailure, Event, Machine, Refusal, UsageError

MARK: Final = b"left by the operating system"
FREE: Final = 0x2000_0000  # where no stage puts anything
SUL: Final = 0x0800_0000_0000_0000
DAMAGE: Final = "image.flash.partition.HBI.flip=[{ offset = 0x2000, bit = 0 }]"


def last_boot(machine: Machine) -> list[Event]:
    events = list(machine.journal)
    start = max(n for n, event in enumerate(events) if event.kind == "power-on")
    return events[start:]


def measured(machine: Machine, what: str) -> bytes:
    """The first digest of a subject in the last boot."""
    found = [e for e in last_boot(machine) if e.detail.get("what") == what]
    return bytes.fromhex(str(found[0].detail["digest"]))


def test_memory_stays_and_a_power_cycle_takes_it(booted: Machine) -> None:
    booted.board.memory.write(FREE, MARK)
    booted.memory_preserving_ipl()
    assert booted.stage == "sbe_immutable"
    assert booted.run().board.memory.read(FREE, len(MARK)) == MARK
    booted.power_cycle()
    assert booted.board.memory.read(FREE, len(MARK)) == bytes(len(MARK))
    assert booted.event_log == b""
    assert booted.run().journal[-1].kind == "boot-complete"


def test_the_state_says_so_in_pcr1_alone(booted: Machine) -> None:
    """Byte 1 gets 0x01 beside the completion stage (3.3 step 4)."""
    cold = booted.pcrs()
    assert measured(booted, "sbe-state")[1] == 0x10
    booted.memory_preserving_ipl().run()
    assert measured(booted, "sbe-state")[1] == 0x11
    again = booted.pcrs()
    assert {pcr for pcr in cold if cold[pcr] != again[pcr]} == {1}


def test_a_power_cycle_gives_the_same_values_again(booted: Machine) -> None:
    before = booted.pcrs(), booted.event_log
    booted.power_cycle().run()
    assert (booted.pcrs(), booted.event_log) == before


def test_the_tpm_is_reset_in_both(booted: Machine) -> None:
    """Startup(CLEAR) after a lost power: a TPM Reset, no answer 0x100."""
    booted.memory_preserving_ipl().run().power_cycle().run()
    effects = [e.detail["effect"] for e in booted.journal if e.kind == "startup"]
    assert effects == ["reset"] * 3


@pytest.mark.parametrize("profile", ["patent", "p10"])
def test_a_jumper_moved_to_off_is_measured_and_changes_nothing(profile: str) -> None:
    machine = Machine("small", settings=[f"machine.measure.profile={profile}"]).run()
    cold = machine.pcr(6)
    machine.flash["HBI"].write(b"\xa5" * 8, 0x1800)
    machine.board.chip.jumper = True
    with pytest.raises(BootFailure) as caught:
        machine.memory_preserving_ipl().run()
    assert caught.value.refusal is Refusal.CONTAINER_REJECTED
    assert machine.board.chip.smd and machine.board.chip.secure
    assert machine.pcr(6) != cold
    record = "secure-jumper" if profile == "patent" else "security-state"
    assert measured(machine, record)[0] == 1
    machine.power_cycle().run()  # a cold start believes the jumper
    assert not machine.board.chip.secure


def test_in_the_profile_patent_the_immutable_code_enforces_by_sab(
    booted: Machine,
) -> None:
    """With the jumper moved to off a damaged SBE_FW is refused all the same."""
    seeprom = booted.board.seeprom
    at = int.from_bytes(seeprom.content[64 + 12 * 9 :][:4], "big") + 0x100
    seeprom.reprogram(at, bytes([seeprom.content[at] ^ 1]))
    booted.board.chip.jumper = True
    with pytest.raises(BootFailure) as caught:
        booted.memory_preserving_ipl().run()
    assert caught.value.stage == "sbe_immutable"


def test_a_jumper_moved_to_on_leaves_security_off() -> None:
    machine = Machine("small", settings=["machine.chip.smd=true", DAMAGE]).run()
    machine.board.chip.jumper = False
    machine.memory_preserving_ipl().run()
    assert not machine.board.chip.smd and not machine.board.chip.secure
    assert machine.journal[-1].kind == "boot-complete"
    with pytest.raises(BootFailure):
        machine.power_cycle().run()


def test_the_override_is_not_asked_again() -> None:
    """What the BMC puts into the mailbox now counts at the next cold start only."""
    flagged = "image.seeprom.base.container.hw-flags=0x80080000"
    machine = Machine("small", settings=[flagged]).run()
    machine.board.chip.put_scom(0x5003A, 0x0200_0000_0000_0000)
    machine.board.chip.put_scom(0x5003F, 0x2000_0000_0000_0000)
    assert machine.memory_preserving_ipl().run().board.chip.secure
    off = Machine("lab-override").run()
    off.board.chip.put_scom(0x5003F, 0)
    assert not off.memory_preserving_ipl().run().board.chip.secure


def test_the_update_lock_stays_and_a_power_cycle_takes_it(booted: Machine) -> None:
    chip = booted.board.chip
    assert chip.get_scom(0x10005) & SUL
    booted.memory_preserving_ipl()
    assert chip.get_scom(0x10005) & SUL
    booted.power_cycle()
    assert not chip.get_scom(0x10005) & SUL


def test_a_tpm_that_was_given_up_stays_so() -> None:
    machine = Machine("tpm-dead").run()
    machine.memory_preserving_ipl().run()
    kinds = {event.kind for event in last_boot(machine)}
    assert "tpm-lost" in kinds and not {"startup", "extend"} & kinds
    machine.power_cycle().run(until="sbe_immutable")
    assert "startup" in {event.kind for event in last_boot(machine)}


def test_an_ipl_in_the_middle_of_a_boot_starts_over(small: Machine) -> None:
    small.run(until="hostboot_init").memory_preserving_ipl()
    assert small.stage == "sbe_immutable"
    assert small.run().journal[-1].kind == "boot-complete"


def test_a_machine_that_is_off_has_no_memory_to_preserve(small: Machine) -> None:
    with pytest.raises(UsageError):
        small.memory_preserving_ipl()
    small.run(until="sbe_immutable").power_cycle()
    with pytest.raises(UsageError):
        small.memory_preserving_ipl()


def test_a_fork_has_power_of_its_own(booted: Machine) -> None:
    other = booted.fork()
    other.board.memory.write(FREE, MARK)
    booted.power_cycle()
    assert other.board.memory.read(FREE, len(MARK)) == MARK
    assert other.pcr(6) != bytes(32)
    assert other.stage is None and booted.stage == "sbe_immutable"


def test_every_chip_is_reset_and_no_tpm_stays_poisoned() -> None:
    chosen = ["machine.secondary-chips=[{}]", "machine.backup-tpm={}"]
    machine = Machine("small", settings=chosen).run()
    assert machine.board.poisoned == {"backup-tpm"}
    other = machine.board.secondaries[0]
    other.chip.jumper = True
    machine.memory_preserving_ipl()
    assert machine.board.poisoned == set()
    assert other.chip.smd and other.chip.secure and other.chip.memory_preserving
    machine.run()  # the chips differ now: the primary's TPM is poisoned as well
    assert machine.board.poisoned == {"tpm", "backup-tpm"}
    machine.power_cycle()
    assert not other.chip.secure and not other.chip.get_scom(0x10005)
    assert machine.run().board.chip.secure
