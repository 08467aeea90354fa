"""Thousands of machines: profile, keys, versions, jumper, policy and fault drawn.

Each boots once; a judgement written here, from the rules alone, says where it must end.
`PEFSTACK_VARIANTS=5000` runs the long form; without it a short one.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from functools import cache
from typing import Final

import pytest

from pefstack import BootFailure, Machine
from pefstack.firmware.boot import STAGES
from pefstack.firmware.invariants import broken_invariants
from pefstack.tools.log_check import log_differences

COUNT: Final = int(os.environ.get("PEFSTACK_VARIANTS", "300"))
PARTITIONS: Final = ("HBB", "HBI", "PAYLOAD")
READER: Final = dict(zip(PARTITIONS, STAGES[2:5], strict=True))
SECTIONS: Final = {"hbbl": "sbe_mutable", "base": "sbe_mutable"}
FAULTS: Final = (
    "none",
    "one-bit",
    "two-bits",
    "payload",
    "signature",
    "label",
    "magic",
    "section",
)
HBI_OFFSET: Final = 0x2000  # inside every payload, behind the header


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One machine: what it is built from, how it is set, what is broken in it."""

    profile: str
    flash_keys: str
    version: int
    minimum: int
    smd: bool
    pef: bool
    policy: str
    fault: str
    place: str
    seed: int

    def settings(self) -> list[str]:
        """As on the command line."""
        banks = '["sha1", "sha256"]' if self.profile == "p9" else '["sha256"]'
        chosen = [
            f"machine.measure.profile={self.profile}",
            f"machine.chip.smd={str(self.smd).lower()}",
            f"machine.chip.pef-enable={str(self.pef).lower()}",
            f"machine.verify.policy={self.policy}",
            f"machine.fuses.minimum-secure-version={self.minimum}",
            f"machine.tpm.allocated={banks}",
        ]
        if self.profile == "p9":
            chosen.append("image.seeprom.hbbl.content.fill=0x1000")
        if self.flash_keys:
            chosen.append(f"image.flash.keys.seed={self.flash_keys}")
        for name in PARTITIONS:
            place = f"image.flash.partition.{name}.container"
            chosen.append(f"{place}.security-version={self.version}")
        for name in ("base", "hbbl"):
            place = f"image.seeprom.{name}.container"
            chosen.append(f"{place}.security-version={self.version}")
        return chosen


def drawn(number: int) -> Variant:
    """The variant of a number; the same at every run."""
    dice = random.Random(f"variant {number}")
    profile = dice.choice(("patent", "patent", "p10", "p9"))
    fault = dice.choice(FAULTS)
    return Variant(
        profile=profile,
        flash_keys=dice.choice(("", "", "", "somebody else")),
        version=dice.choice((0, 1, 2)),
        minimum=0 if profile == "p9" else dice.choice((0, 0, 1, 2)),
        smd=dice.random() < 0.3,
        pef=dice.random() < 0.7,
        policy=dice.choice(("fail-closed", "fail-closed", "record", "record-only")),
        fault=fault,
        place=dice.choice(PARTITIONS if fault != "section" else (*SECTIONS,)),
        seed=dice.randrange(1 << 16),
    )


@cache
def machine_of(settings: tuple[str, ...]) -> Machine:
    """A machine to fork; its images are built once."""
    return Machine("small", settings=settings)


def break_it(machine: Machine, variant: Variant) -> None:
    """Do what the fault says, with a bit that the seed chooses."""
    if variant.fault == "section":
        _break_section(machine, variant)
    elif variant.fault in ("one-bit", "two-bits"):
        _break_word(machine, variant)
    elif variant.fault != "none":
        partition = machine.flash[variant.place]
        offset = {
            "payload": HBI_OFFSET + variant.seed % 0x4000,
            "signature": 524 + variant.seed % 132,
            "label": _label_offset(partition.data),
            "magic": variant.seed % 4,
        }[variant.fault]
        old = partition.data[offset]
        partition.write(bytes([old ^ 1 << variant.seed % 8]), offset)


def _label_offset(data: bytes) -> int:
    return 920 + 132 * data[450] + 12


def _break_word(machine: Machine, variant: Variant) -> None:
    partition = machine.flash[variant.place]
    word = 9 * (0x300 + variant.seed % 0x400)
    for byte in range(2 if variant.fault == "two-bits" else 1):
        partition.flip(word + byte, variant.seed % 8)


def _break_section(machine: Machine, variant: Variant) -> None:
    """A bit in the middle of a section that is full of filler."""
    seeprom = machine.board.seeprom
    number = {"base": 9, "hbbl": 13}[variant.place]
    entry = 64 + 12 * number
    offset = int.from_bytes(seeprom.content[entry : entry + 4], "big")
    place = offset + 0x100 + variant.seed % 0x800
    seeprom.reprogram(place, bytes([seeprom.content[place] ^ 1 << variant.seed % 8]))


def judgement(variant: Variant) -> str | None:
    """The stage that must refuse, or None for a boot to the end. Rules, no code."""
    ends = []
    secure = not variant.smd
    if variant.fault == "two-bits" and variant.place != "PAYLOAD":
        ends.append(READER[variant.place])  # ECC does not ask the jumper
    if secure:
        ends += _flash_refusals(variant)
        ends += _seeprom_refusals(variant)
    return min(ends, key=STAGES.index) if ends else None


def _flash_refusals(variant: Variant) -> list[str]:
    if variant.policy == "record-only":
        return []
    ends = []
    old = variant.version < variant.minimum
    if variant.flash_keys or old:
        ends.append("hostboot_loader")
    changed = variant.fault in ("payload", "signature", "label", "magic")
    if variant.place == "PAYLOAD" and variant.fault in ("one-bit", "two-bits"):
        changed = True  # it has no ECC: a flipped bit is a changed payload
    if changed:
        ends.append(READER[variant.place])
    return ends


def _seeprom_refusals(variant: Variant) -> list[str]:
    """Nobody verifies the SEEPROM on a POWER9; SBE_FW twice in the patent's profile."""
    old = variant.version < variant.minimum
    broken = variant.fault == "section"
    if variant.profile == "p9" or not (old or broken):
        return []
    if variant.policy == "record-only":
        return []
    if variant.policy == "record":
        return ["hostboot_ext"]
    of_loader = old or variant.place == "base"
    early = of_loader and variant.profile == "patent"
    return ["sbe_immutable" if early else "sbe_mutable"]


@pytest.mark.parametrize("block", range((COUNT + 99) // 100))
def test_every_variant_ends_where_the_rules_say(block: int) -> None:
    for number in range(100 * block, min(100 * block + 100, COUNT)):
        variant = drawn(number)
        machine = machine_of(tuple(variant.settings())).fork()
        break_it(machine, variant)
        refused = None
        try:
            machine.run()
        except BootFailure as failure:
            refused = failure.stage
        assert refused == judgement(variant), (number, variant)
        assert broken_invariants(machine.journal) == {}, (number, variant)
        if refused is None:  # the log that is handed over accounts for every PCR
            differences = log_differences(machine.event_log, machine.pcrs())
            assert differences == {}, (number, variant)


def test_the_draw_reaches_both_ends_of_everything() -> None:
    variants = [drawn(number) for number in range(300)]
    assert {each.fault for each in variants} == set(FAULTS)
    assert {each.profile for each in variants} == {"patent", "p10", "p9"}
    ends = {judgement(each) for each in variants}
    assert ends == {None, *STAGES[:5]}
