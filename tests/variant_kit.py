"""The machines of test_variants.py: what is drawn, how it is built, what breaks."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache
from typing import Final

from pefstack import Machine
from pefstack.firmware.boot import STAGES
from pefstack.hw.seeprom import Seeprom
from pefstack.tools.machine_file import BUILT_IN

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
_FLAGGED: Final = "image.seeprom.base.container.hw-flags=0x80080000"
_ASKED: Final = "machine.chip.scratch-3=0x02000000"
_VALID: Final = "machine.chip.scratch-8=0x20000000"
OVERRIDES: Final = {
    "": (),
    "flag alone": (_FLAGGED,),
    "not valid": (_FLAGGED, _ASKED),
    "not flagged": (_ASKED, _VALID),
    "not asked": (_FLAGGED, _VALID),
    "asked": (_FLAGGED, _ASKED, _VALID),
}
UPDATES: Final = ("", "image", "lock-in", "keys")
IMPRINT: Final = f'{{ file = "{BUILT_IN}/keys/imprint" }}'
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

    override: str
    update: str
    again: str

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
        return [*chosen, *OVERRIDES[self.override], *self._update()]

    def _update(self) -> list[str]:
        """An SBE image with this version; for new keys by them, and SBKT beside it."""
        version = f"security-version = {self.version}"
        keys = '{ seed = "new" }' if self.update == "keys" else IMPRINT
        sbe = f"sbe-image = {{ keys = {keys}, {version} }}"
        place = "base = 0x7c000, size = 0xc000, ecc = true"
        signed = f"container = {{ {version} }}"
        chosen = [
            f"image.flash.partition.SBE={{ {place}, {sbe}, {signed} }}",
            f"machine.update.lock-in={str(self.update == 'lock-in').lower()}",
        ]
        if self.update == "keys":
            nested = f"nested = {{ keys = {keys}, {version} }}"
            container = f"container = {{ hw-flags = 0x80000001, {version}, {nested} }}"
            place = "base = 0x78000, size = 0x4000, ecc = true"
            content = "content = { fill = 0x40 }"
            text = f"{{ {place}, {content}, {container} }}"
            chosen.append(f"image.flash.partition.SBKT={text}")
        return chosen if self.update else []


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
        override=dice.choice(("", "", "", "asked", "asked", *OVERRIDES)),
        update=dice.choice(("", "", "", "", *UPDATES)) if table != "SBE" else "",
        again=dice.choice(("", "", "", "", "cold", "memory")),
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
