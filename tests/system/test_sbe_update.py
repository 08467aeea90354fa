"""An SBE image in the flash goes into the SEEPROM; lock-in raises the minimum (1.6)."""

from __future__ import annotations

from typing import Final

import pytest

from pefstack import BootFailure, DeviceError, Event, Machine, Refusal

P9: Final = (
    "machine.measure.profile=p9",
    "image.seeprom.hbbl.content.fill=0x1000",
    'machine.tpm.allocated=["sha1", "sha256"]',
)
PROFILES: Final = {"patent": (), "p10": ("machine.measure.profile=p10",), "p9": P9}
OFF: Final = "machine.update.lock-in=false"
FLASH: Final = tuple(
    f"image.flash.partition.{name}.container.security-version="
    for name in ("HBB", "HBI", "PAYLOAD")
)


def update(machine: Machine) -> Event | None:
    """The last update of the journal."""
    found = [event for event in machine.journal if event.kind == "sbe-update"]
    return found[-1] if found else None


def minimum(machine: Machine) -> tuple[int, int]:
    """Fused, and in `.sb_settings` by the section table (2.4: place 21)."""
    raw = machine.board.seeprom.content
    at = int.from_bytes(raw[64 + 12 * 21 :][:4], "big")
    return machine.board.fuses.minimum_secure_version, raw[at + 64]


@pytest.mark.parametrize("profile", PROFILES)
def test_the_image_of_the_flash_is_what_the_next_boot_runs(profile: str) -> None:
    machine = Machine("lock-in", settings=[*PROFILES[profile], OFF])
    old = machine.board.seeprom.content
    key_hash = machine.board.fuses.hw_key_hash
    machine.run()
    new = machine.board.seeprom.content
    assert new != old and new.count(key_hash) == 1
    event = update(machine)
    assert event is not None and event.detail["done"] == 1
    in_flash = machine.flash["SBE"].data[4096 : 4096 + len(new)]
    changed = [n for n in range(len(new)) if new[n] != in_flash[n]]
    assert changed and changed[-1] - changed[0] < 72  # settings are all that differs
    journal = len(machine.journal)
    machine.power_cycle().run()
    assert machine.journal[-1].kind == "boot-complete"
    assert machine.board.seeprom.content == new
    assert not [e for e in [*machine.journal][journal:] if e.kind == "sbe-update"]


@pytest.mark.parametrize("profile", ["p10", "p9"])
def test_an_image_behind_a_hash_page_table(profile: str) -> None:
    """As the real partition SBE: the pages are what is installed (1.7)."""
    paged = "image.flash.partition.SBE.container.hash-pages=true"
    plain = Machine("lock-in", settings=[*PROFILES[profile], OFF]).run()
    machine = Machine("lock-in", settings=[*PROFILES[profile], OFF, paged])
    broken = machine.fork()
    assert machine.run().board.seeprom.content == plain.board.seeprom.content
    before = broken.board.seeprom.content
    broken.flash["SBE"].write(bytes(8), 3 * 4096 + 0x800)
    with pytest.raises(BootFailure) as caught:
        broken.run()
    assert caught.value.refusal is Refusal.PAGE_HASH
    assert broken.board.seeprom.content == before


def test_lock_in_raises_the_minimum_and_an_older_image_is_refused_then() -> None:
    machine = Machine("lock-in")
    assert minimum(machine) == (0, 0)
    machine.run()
    assert minimum(machine) == (2, 2)
    assert machine.power_cycle().run().journal[-1].kind == "boot-complete"
    old = Machine("small", settings=[f"{each}1" for each in FLASH])
    machine.power_cycle().board.flash = old.board.flash.fork(machine.journal)
    with pytest.raises(BootFailure) as caught:
        machine.run()
    assert (caught.value.stage, caught.value.log & 0xFF) == ("hostboot_loader", 0x90)


def test_without_lock_in_the_older_image_still_boots() -> None:
    machine = Machine("lock-in", settings=[OFF]).run().power_cycle()
    assert minimum(machine) == (0, 0)
    old = Machine("small")
    machine.board.flash = old.board.flash.fork(machine.journal)
    assert machine.run().journal[-1].kind == "boot-complete"


def test_lock_in_that_comes_later_counts_though_the_image_is_there() -> None:
    machine = Machine("lock-in", settings=[OFF]).run().power_cycle()
    locked = Machine("lock-in")
    machine.board.spec = locked.board.spec
    machine.run()
    assert minimum(machine) == (2, 2)


def test_the_minimum_shows_in_the_next_boot_alone() -> None:
    """Byte 3 of the state in PCR1 (3.3 step 4)."""
    machine = Machine("lock-in").run()
    machine.power_cycle().run()
    states = [
        bytes.fromhex(str(event.detail["digest"]))[3]
        for event in machine.journal
        if event.detail.get("what") == "sbe-state"
    ]
    assert states == [0, 2]


def test_the_minimum_never_falls() -> None:
    """An image of version 2 with a machine at 3: rejected, nothing is written."""
    versions = [f"{each}3" for each in FLASH]
    versions += [
        f"image.{place}.container.security-version=3"
        for place in ("seeprom.base", "seeprom.hbbl", "flash.partition.SBE")
    ]
    least = "machine.fuses.minimum-secure-version=3"
    machine = Machine("lock-in", settings=[*versions, least])
    before = machine.board.seeprom.content
    machine.run()
    event = update(machine)
    assert event is not None and event.detail["done"] == 0
    assert "security version" in str(event.detail["reason"])
    assert machine.board.seeprom.content == before
    assert minimum(machine) == (3, 3)


@pytest.mark.parametrize("profile", ["patent", "p10"])
def test_an_image_that_the_next_boot_would_reject_is_not_written(profile: str) -> None:
    """Somebody else signed what is in the validly signed partition."""
    keys = 'image.flash.partition.SBE.sbe-image.keys.seed="else"'
    machine = Machine("lock-in", settings=[*PROFILES[profile], keys])
    before = machine.board.seeprom.content, machine.board.fuses
    machine.run()
    event = update(machine)
    assert event is not None and event.detail["done"] == 0
    assert "hash of the hardware keys" in str(event.detail["reason"])
    assert (machine.board.seeprom.content, machine.board.fuses) == before
    assert machine.power_cycle().run().journal[-1].kind == "boot-complete"


@pytest.mark.parametrize("section", [9, 13], ids=[".base", ".hbbl"])
def test_a_damaged_image_is_not_written(section: int) -> None:
    """With security off nobody stops at the partition, but at what is in it."""
    machine = Machine("lock-in", settings=["machine.chip.smd=true"])
    partition = machine.flash["SBE"]
    entry = 4096 + 64 + 12 * section
    at = 4096 + int.from_bytes(partition.data[entry : entry + 4], "big") + 0x80
    partition.write(bytes([partition.data[at] ^ 1]), at)
    before = machine.board.seeprom.content
    machine.run()
    event = update(machine)
    assert event is not None and "hash of the payload" in str(event.detail["reason"])
    assert machine.board.seeprom.content == before


def test_a_damaged_partition_ends_a_secure_boot() -> None:
    machine = Machine("lock-in")
    machine.flash["SBE"].write(b"\xff", 4096 + 0x2000)
    with pytest.raises(BootFailure) as caught:
        machine.run()
    assert caught.value.refusal is Refusal.CONTAINER_REJECTED


@pytest.mark.parametrize(
    ("offset", "word"),
    [
        (384, b"\x07"),  # another header version
        (352, b"\xff\xff\xff\xff"),  # longer than the partition
        (64 + 12 * 21, bytes(12)),  # no .sb_settings
        (64 + 12 * 19, bytes(12)),  # no .sbh_firmware
        (64 + 12 * 19 + 4, b"\0\0\0\x08"),  # a short one
        (64 + 12 * 13, bytes(12)),  # no .hbbl
    ],
)
def test_a_broken_image_is_left_where_it_is(offset: int, word: bytes) -> None:
    machine = Machine("lock-in", settings=["machine.chip.smd=true"])
    machine.flash["SBE"].write(word, 4096 + offset)
    before = machine.board.seeprom.content
    machine.run()
    event = update(machine)
    assert event is not None and event.detail["done"] == 0
    assert machine.journal[-1].kind == "boot-complete"
    assert machine.board.seeprom.content == before


def test_filler_is_no_image_and_nothing_is_said() -> None:
    machine = Machine("p9").run()
    assert update(machine) is None


def test_in_a_memory_preserving_ipl_nothing_is_updated() -> None:
    machine = Machine("lock-in").run(until="hostboot_init")
    before = machine.board.seeprom.content
    machine.memory_preserving_ipl().run()
    assert update(machine) is None
    assert machine.board.seeprom.content == before


def test_behind_the_lock_the_update_fails_and_the_boot_goes_on() -> None:
    machine = Machine("lock-in").run(until="hostboot_init")
    before = machine.board.seeprom.content
    machine.board.chip.put_scom(0x10005, 0x0800_0000_0000_0000)
    machine.run()
    event = update(machine)
    assert event is not None and "write-locked" in str(event.detail["reason"])
    assert machine.board.seeprom.content == before
    assert machine.journal[-1].kind == "boot-complete"


def test_every_chip_is_updated() -> None:
    """Each by itself, each behind a lock of its own."""
    chips = "machine.secondary-chips=[{}, {}]"
    machine = Machine("lock-in", settings=[chips]).run()
    sources = [e.source for e in machine.journal if e.kind == "sbe-update"]
    assert sources == ["hostboot_ext", "chip1.hostboot_ext", "chip2.hostboot_ext"]
    for each in machine.board.secondaries:
        assert each.seeprom.content == machine.board.seeprom.content
        assert each.fuses.minimum_secure_version == 2
        with pytest.raises(DeviceError):
            each.seeprom.write(0, b"x")
    machine.power_cycle().run()
    assert machine.board.poisoned == set()


def test_a_chip_that_takes_no_update_does_not_stop_the_others() -> None:
    chips = "machine.secondary-chips=[{}, {}]"
    machine = Machine("lock-in", settings=[chips]).run(until="hostboot_init")
    first, second = machine.board.secondaries
    first.seeprom.locked = True
    old = first.seeprom.content
    machine.run()
    assert first.seeprom.content == old
    assert second.seeprom.content == machine.board.seeprom.content
