"""SBKT puts new keys in charge, or nothing changes (boot-chain.md 1.3, 1.4)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import pytest

from pefstack import BootFailure, Machine, Refusal
from pefstack.hw.errors import DeviceError
from pefstack.hw.fuses import Fuses
from pefstack.images.signing import (
    KeySet,
    SigningOptions,
    seeded_key_set,
    sign_header,
)
from strategies import imprint_keys

SUL: Final = 0x0800_0000_0000_0000
P9: Final = (
    "machine.measure.profile=p9",
    "image.seeprom.hbbl.content.fill=0x1000",
    'machine.tpm.allocated=["sha1", "sha256"]',
)
PROFILES: Final = {"patent": (), "p10": ("machine.measure.profile=p10",), "p9": P9}
BY_NEW_KEYS: Final = 'image.flash.keys={ seed = "new" }'


def nested_key_hash(machine: Machine) -> bytes:
    """SHA-512 of bytes 30 to 425 of the container in the container."""
    return hashlib.sha512(machine.flash["SBKT"].data[4096 + 30 : 4096 + 426]).digest()


def fused(machine: Machine) -> bytes:
    return machine.board.fuses.hw_key_hash


@pytest.mark.parametrize("profile", PROFILES)
def test_the_keys_change_and_the_machine_shuts_down(profile: str) -> None:
    machine = Machine("key-transition", settings=PROFILES[profile])
    old, new = fused(machine), nested_key_hash(machine)
    assert machine.run().stage is None
    (event,) = [e for e in machine.journal if e.kind == "key-transition"]
    assert event.detail == {"old": old.hex(), "new": new.hex()}
    assert machine.journal[-1].kind == "shutdown"
    assert fused(machine) == new
    assert machine.board.seeprom.content.count(new) == 1
    assert old not in machine.board.seeprom.content
    assert "opal" not in {event.source for event in machine.journal}


@pytest.mark.parametrize("profile", PROFILES)
def test_then_the_old_flash_is_rejected_and_one_by_the_new_keys_boots(
    profile: str,
) -> None:
    machine = Machine("key-transition", settings=PROFILES[profile])
    before = Machine("small", settings=PROFILES[profile]).run().pcr(6)
    machine.run().power_cycle()
    with pytest.raises(BootFailure) as caught:
        machine.run()
    assert (caught.value.stage, caught.value.log & 0xFF) == ("hostboot_loader", 0x60)
    other = Machine("small", settings=[*PROFILES[profile], BY_NEW_KEYS])
    machine.power_cycle().board.flash = other.board.flash.fork(machine.journal)
    assert machine.run().journal[-1].kind == "boot-complete"
    if profile != "p9":  # there PCR6 knows no keys
        assert machine.pcr(6) != before
        first = next(
            e for e in reversed([*machine.journal]) if _is_key_extend(e.detail)
        )
        assert first.detail["digest"] == fused(machine)[:32].hex()


def _is_key_extend(detail: dict[str, str | int]) -> bool:
    return detail.get("what") == "hw-key-hash" and detail["pcr"] == 6


def test_without_the_new_image_the_next_boot_would_have_been_the_last() -> None:
    """So that is refused before anything is written."""
    chosen = "image.flash.partition.SBE.absent=true"
    machine = Machine("key-transition", settings=[chosen])
    unchanged = refused_so(machine, Refusal.KEY_TRANSITION)
    assert "hash of the hardware keys" in unchanged.reason


@dataclass(frozen=True, kw_only=True)
class Forged:
    """A key transition made by hand; the fields are what may be wrong with it."""

    inner_label: str = "SBKT"
    inner_version: int = 0
    outer_flags: int = 0x80000001
    outer_label: str = "SBKT"
    outer_keys: KeySet = field(default_factory=imprint_keys)
    damage: Callable[[bytes], bytes] = bytes

    def to_bytes(self) -> bytes:
        payload = bytes(0x100)
        options = SigningOptions(
            label=self.inner_label, security_version=self.inner_version
        )
        nested = sign_header(payload, seeded_key_set("new"), options) + payload
        nested = self.damage(nested)
        outer = SigningOptions(label=self.outer_label, hw_flags=self.outer_flags)
        return sign_header(nested, self.outer_keys, outer) + nested


def flipped(offset: int) -> Callable[[bytes], bytes]:
    return lambda raw: raw[:offset] + bytes([raw[offset] ^ 1]) + raw[offset + 1 :]


WRONG: Final[dict[str, tuple[Forged, Refusal, int]]] = {
    "no flag": (Forged(outer_flags=0x80000000), Refusal.KEY_TRANSITION, 0),
    "other flags": (Forged(outer_flags=0xFFFFFFFE), Refusal.KEY_TRANSITION, 0),
    "outer keys": (
        Forged(outer_keys=seeded_key_set("x")),
        Refusal.CONTAINER_REJECTED,
        0x60,
    ),
    "outer label": (Forged(outer_label="SBE"), Refusal.COMPONENT_ID, 0),
    "nested label": (Forged(inner_label="HBB"), Refusal.COMPONENT_ID, 0),
    "nested is short": (
        Forged(damage=lambda raw: raw[:4095]),
        Refusal.KEY_TRANSITION,
        0,
    ),
    "nested is cut": (
        Forged(damage=lambda raw: raw[:4300]),
        Refusal.CONTAINER_REJECTED,
        0x72,
    ),
    "nested is none": (
        Forged(damage=lambda raw: bytes(len(raw))),
        Refusal.CONTAINER_REJECTED,
        0x20,
    ),
    "nested key": (Forged(damage=flipped(100)), Refusal.CONTAINER_REJECTED, 0x61),
    "nested prefix": (Forged(damage=flipped(446)), Refusal.CONTAINER_REJECTED, 0x61),
    "nested signature": (
        Forged(damage=flipped(1052 + 98)),
        Refusal.CONTAINER_REJECTED,
        0x70,
    ),
    "nested payload": (
        Forged(damage=flipped(4096)),
        Refusal.CONTAINER_REJECTED,
        0x72,
    ),
}


def refused_so(machine: Machine, refusal: Refusal, code: int = 0) -> BootFailure:
    """The boot ends in hostboot ext, and neither SEEPROM nor fuses have changed."""
    seeprom, fuses = machine.board.seeprom.content, machine.board.fuses
    with pytest.raises(BootFailure) as caught:
        machine.run()
    assert caught.value.stage == "hostboot_ext"
    assert (caught.value.refusal, caught.value.log & 0xFF) == (refusal, code)
    assert machine.board.seeprom.content == seeprom
    assert machine.board.fuses == fuses
    return caught.value


def test_what_is_forged_here_is_good_but_for_one_thing() -> None:
    machine = Machine("key-transition")
    machine.flash["SBKT"].write(Forged().to_bytes())
    assert machine.run().journal[-1].kind == "shutdown"


@pytest.mark.parametrize("name", WRONG)
def test_a_defect_ends_the_boot_and_changes_nothing(name: str) -> None:
    forged, refusal, code = WRONG[name]
    machine = Machine("key-transition")
    machine.flash["SBKT"].write(forged.to_bytes())
    refused_so(machine, refusal, code)


@pytest.mark.parametrize("name", [name for name in WRONG if "label" not in name])
def test_with_security_off_it_is_recorded_and_changes_nothing(name: str) -> None:
    machine = Machine("key-transition", settings=["machine.chip.smd=true"])
    machine.flash["SBKT"].write(WRONG[name][0].to_bytes())
    old = fused(machine)
    machine.run()
    assert machine.journal[-1].kind == "boot-complete"
    assert fused(machine) == old
    verdicts = [e.detail["good"] for e in machine.journal if e.kind == "verify"]
    assert 0 in verdicts


def test_a_good_one_counts_with_security_off_too() -> None:
    machine = Machine("key-transition", settings=["machine.chip.smd=true"])
    new = nested_key_hash(machine)
    assert machine.run().journal[-1].kind == "shutdown"
    assert fused(machine) == new


def test_a_nested_version_below_the_minimum_is_refused() -> None:
    versions = [
        f"image.{place}.container.security-version=1"
        for place in (
            "seeprom.base",
            "seeprom.hbbl",
            "flash.partition.HBB",
            "flash.partition.HBI",
            "flash.partition.SBE",
            "flash.partition.SBKT",
        )
    ]
    least = "machine.fuses.minimum-secure-version=1"
    machine = Machine("key-transition", settings=[*versions, least])
    refused_so(machine, Refusal.CONTAINER_REJECTED, 0x90)


@pytest.mark.parametrize("seed", ["else", "new but not this one"])
def test_an_image_that_others_signed_is_refused(seed: str) -> None:
    chosen = f'image.flash.partition.SBE.sbe-image.keys.seed="{seed}"'
    machine = Machine("key-transition", settings=[chosen])
    refused_so(machine, Refusal.KEY_TRANSITION)


def test_a_blank_partition_is_none_and_is_not_measured() -> None:
    chosen = "image.flash.partition.SBKT={ base = 0x78000, size = 0x4000, ecc = true }"
    machine = Machine("small", settings=[chosen]).run()
    assert machine.journal[-1].kind == "boot-complete"
    assert machine.pcrs() == Machine("small").run().pcrs()


def test_in_a_memory_preserving_ipl_keys_stay() -> None:
    machine = Machine("key-transition").run(until="hostboot_init")
    old = fused(machine)
    machine.memory_preserving_ipl().run()
    assert machine.journal[-1].kind == "boot-complete"
    assert fused(machine) == old


def test_behind_the_update_lock_keys_stay() -> None:
    machine = Machine("key-transition").run(until="hostboot_init")
    machine.board.chip.put_scom(0x10005, SUL)
    refused_so(machine, Refusal.KEY_TRANSITION)


def test_the_lock_is_in_the_hardware(booted: Machine) -> None:
    """OPAL runs: neither SEEPROM nor fuses take a write until the next cold start."""
    board = booted.board
    with pytest.raises(DeviceError, match="write-locked"):
        board.seeprom.write(0, b"\0")
    with pytest.raises(DeviceError, match="write-locked"):
        board.seeprom.replace(b"")
    with pytest.raises(DeviceError, match="update lock"):
        board.program(Fuses(hw_key_hash=bytes(64)))
    fork = booted.fork()
    fork.power_cycle()
    fork.board.seeprom.write(0, b"\0")
    with pytest.raises(DeviceError):  # each machine has a lock of its own
        board.seeprom.write(0, b"\0")


def test_with_security_off_nobody_locks() -> None:
    """As real Hostboot, which sets the lock in secure mode only."""
    machine = Machine("small", settings=["machine.chip.smd=true"]).run()
    machine.board.seeprom.write(0, b"\0")


def test_every_chip_gets_the_new_keys() -> None:
    """Else the next boot would find chips that differ."""
    chips = "machine.secondary-chips=[{}, {}]"
    machine = Machine("key-transition", settings=[chips])
    new = nested_key_hash(machine)
    machine.run()
    primary = machine.board.seeprom.content
    for each in machine.board.secondaries:
        assert each.fuses.hw_key_hash == new
        assert each.seeprom.content == primary
    other = Machine("small", settings=[BY_NEW_KEYS, chips])
    machine.power_cycle().board.flash = other.board.flash.fork(machine.journal)
    assert machine.run().journal[-1].kind == "boot-complete"
    assert machine.board.poisoned == set()
