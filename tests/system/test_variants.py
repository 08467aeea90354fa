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
from pefstack.hw.seeprom import Seeprom
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
# which of the small machine's partitions may lie behind a table, by profile
TABLES: Final = {
    "patent": ("",),
    "p9": ("", "", "SBE", "MEMD", "HCODE", "WOFDATA"),
    "p10": ("", "", "SBE", "HCODE", "WOFDATA", "OCMBFW"),
}
# step with the TPM -> the stage that takes it; where the SBE does nothing, Hostboot
STEPS: Final = {
    **dict.fromkeys(("read-id", "locality", "startup"), "sbe_immutable"),
    **dict.fromkeys(("detect", "hw-key-hash-6", "state-1"), "sbe_immutable"),
    **dict.fromkeys(("hbbl", "switches", "separator-0", "0x17"), "sbe_mutable"),
    **dict.fromkeys(("secondary-verification", "secondary-state"), "hostboot_ext"),
}
POWER9_STEPS: Final = ("read-id", "locality", "startup")
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
    table: str  # "", or the partition that lies behind a hash page table
    page: int  # the page of it that is changed; -1: none
    chips: str
    backup: bool
    fails_at: str
    required: bool

    def _chips(self) -> list[str]:
        if self.chips == "none":
            return []
        other = f"{{smd={str(self.chip_smd).lower()}}}"
        backup = ["machine.backup-tpm={}"] if self.backup else []
        return [f"machine.secondary-chips=[{{}}, {other}]", *backup]

    @property
    def chip_smd(self) -> bool:
        """The jumper of the last chip."""
        return self.smd is not (self.chips == "jumper")

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
            f"machine.tpm.required={str(self.required).lower()}",
            f'machine.tpm.fails-at="{self.fails_at}"',
            *self._chips(),
        ]
        if self.profile == "p9":
            chosen.append("image.seeprom.hbbl.content.fill=0x1000")
        if self.flash_keys:
            chosen.append(f"image.flash.keys.seed={self.flash_keys}")
        for name in PARTITIONS:
            place = f"image.flash.partition.{name}.container"
            chosen.append(f"{place}.security-version={self.version}")
        if self.table:
            place = f"image.flash.partition.{self.table}"
            chosen += [f"{place}.base=0xd0000", f"{place}.size=0x9000"]
            chosen += [f"{place}.content.fill=0x3800", f"{place}.ecc=true"]
            chosen.append(f"{place}.container.hash-pages=true")
            chosen.append(f"{place}.container.security-version={self.version}")
        for name in ("base", "hbbl"):
            place = f"image.seeprom.{name}.container"
            chosen.append(f"{place}.security-version={self.version}")
        return chosen


def drawn(number: int) -> Variant:
    """The variant of a number; the same at every run."""
    dice = random.Random(f"variant {number}")
    profile = dice.choice(("patent", "patent", "p10", "p9"))
    fault = dice.choice(FAULTS)
    others = random.Random(f"table {number}")
    table = others.choice(TABLES[profile])
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
        table=table,
        page=others.randrange(4) if table and others.random() < 0.3 else -1,
        chips=dice.choice(("none", "none", "same", "jumper", "code")),
        backup=dice.random() < 0.3,
        fails_at=dice.choice(("",) * 2 * len(STEPS) + (*STEPS,)),
        required=dice.random() < 0.5,
    )


@cache
def machine_of(settings: tuple[str, ...]) -> Machine:
    """A machine to fork; its images are built once."""
    return Machine("small", settings=settings)


def break_it(machine: Machine, variant: Variant) -> None:
    """Do what the fault says, with a bit that the seed chooses."""
    if variant.page >= 0:
        partition = machine.flash[variant.table]
        offset = HBI_OFFSET + 0x1000 * variant.page + variant.seed % 0x800
        old = partition.data[offset]
        partition.write(bytes([old ^ 1 << variant.seed % 8]), offset)
    if variant.chips == "code":
        seeprom = machine.board.secondaries[-1].seeprom
        _flip_in_section(seeprom, 9 if variant.profile == "p9" else 22, variant.seed)
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
    number = {"base": 9, "hbbl": 13}[variant.place]
    _flip_in_section(machine.board.seeprom, number, variant.seed)


def _flip_in_section(seeprom: Seeprom, number: int, seed: int) -> None:
    entry = 64 + 12 * number
    offset = int.from_bytes(seeprom.content[entry : entry + 4], "big")
    place = offset + 0x100 + seed % 0x800
    seeprom.reprogram(place, bytes([seeprom.content[place] ^ 1 << seed % 8]))


def judgement(variant: Variant) -> str | None:
    """The stage that must refuse, or None for a boot to the end. Rules, no code."""
    ends = []
    secure = not variant.smd
    if variant.fault == "two-bits" and variant.place != "PAYLOAD":
        ends.append(READER[variant.place])  # ECC does not ask the jumper
    if secure:
        ends += _flash_refusals(variant)
        ends += _seeprom_refusals(variant)
    ends += _chip_refusals(variant) + _tpm_refusals(variant)
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
    if variant.page >= 0:
        ends.append("hostboot_ext")
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


def _chip_refusals(variant: Variant) -> list[str]:
    """Its own SBE refuses, or leaves a verdict that a secure primary will not pass."""
    old = variant.version < variant.minimum
    rejects = old or (variant.chips == "code" and variant.profile == "patent")
    if variant.chips == "none" or variant.profile == "p9" or not rejects:
        return []
    refuses = not variant.chip_smd or (old and not variant.smd)
    if refuses and variant.policy == "fail-closed":
        return ["hostboot_ext"]
    reported = not variant.smd and variant.policy != "record-only"
    return ["hostboot_ext"] if reported else []


def tpm_fails(variant: Variant) -> bool:
    """Whether the machine ever comes to the step."""
    if variant.profile == "p9":
        return variant.fails_at in POWER9_STEPS
    chips = variant.chips != "none"
    return bool(variant.fails_at) and (
        chips or not variant.fails_at.startswith("secondary")
    )


def _tpm_refusals(variant: Variant) -> list[str]:
    if not tpm_fails(variant):
        return []
    if variant.profile == "patent":
        return [STEPS[variant.fails_at]]
    return ["hostboot_ext"] if variant.required and not variant.smd else []


def poisoned(variant: Variant) -> set[str]:
    """The TPMs of a machine that came to its end."""
    differs = variant.chips in ("jumper", "code") and variant.profile != "p9"
    backup = variant.chips != "none" and variant.backup
    names = {"tpm": differs and not tpm_fails(variant), "backup-tpm": backup}
    return {name for name, is_so in names.items() if is_so}


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
        if refused is None:
            assert machine.board.poisoned == poisoned(variant), (number, variant)
            check_log(machine, variant)


def check_log(machine: Machine, variant: Variant) -> None:
    """What is handed over accounts for every PCR, but for a TPM that was poisoned."""
    if tpm_fails(variant):
        return  # nobody can ask it any more
    different = set(log_differences(machine.event_log, machine.pcrs()))
    expected = set(range(8)) if "tpm" in poisoned(variant) else set()
    assert different == expected, variant


def test_the_draw_reaches_both_ends_of_everything() -> None:
    variants = [drawn(number) for number in range(300)]
    assert {each.fault for each in variants} == set(FAULTS)
    assert {each.profile for each in variants} == {"patent", "p10", "p9"}
    tables = {name for names in TABLES.values() for name in names}
    assert {each.table for each in variants if each.page >= 0} == tables - {""}
    assert {each.chips for each in variants} == {"none", "same", "jumper", "code"}
    assert {each.fails_at for each in variants} == {"", *STEPS}
    good = [each for each in variants if judgement(each) is None]
    names = {frozenset(poisoned(each)) for each in good}
    assert len(names) == 4
    ends = {judgement(each) for each in variants}
    assert ends == {None, *STAGES[:5]}
