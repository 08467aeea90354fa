"""Thousands of machines: profile, keys, versions, jumper, policy and fault drawn.

Each boots once; a judgement written here, from the rules alone, says where it must end.
`PEFSTACK_VARIANTS=5000` runs the long form; without it a short one.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final

import pytest

from pefstack import BootFailure, Machine
from pefstack.firmware.boot import STAGES
from pefstack.firmware.invariants import broken_invariants
from pefstack.tools.log_check import log_differences
from variant_kit import (
    FAULTS,
    OVERRIDES,
    POWER9_STEPS,
    READER,
    STEPS,
    TABLES,
    UPDATES,
    Variant,
    break_it,
    drawn,
    machine_of,
)

COUNT: Final = int(os.environ.get("PEFSTACK_VARIANTS", "300"))


def judgement(variant: Variant) -> str | None:
    """The stage that must refuse, or None for a boot to the end. Rules, no code."""
    ends = []
    secure = is_secure(variant)
    if variant.fault == "two-bits" and variant.place != "PAYLOAD":
        ends.append(READER[variant.place])  # ECC does not ask the jumper
    if secure:
        ends += _flash_refusals(variant)
        ends += _seeprom_refusals(variant)
    ends += _chip_refusals(variant) + _tpm_refusals(variant)
    return min(ends, key=STAGES.index) if ends else None


def is_secure(variant: Variant) -> bool:
    """The jumper, and the override where SBE_FW is good and somebody decides."""
    good = not is_old(variant) and (variant.fault, variant.place) != ("section", "base")
    asked = variant.override == "asked" and variant.profile != "p9"
    return not variant.smd and not (asked and good)


def is_old(variant: Variant) -> bool:
    return variant.version < variant.minimum


def changes_keys(variant: Variant) -> bool:
    """Where the boot gets as far as SBKT: who signed it, and its version."""
    ours = not variant.flash_keys and not is_old(variant)
    return variant.update == "keys" and ours


def _flash_refusals(variant: Variant) -> list[str]:
    if variant.policy == "record-only":
        return []
    ends = []
    if variant.flash_keys or is_old(variant):
        ends.append("hostboot_loader")
    changed = variant.fault in ("payload", "signature", "label", "magic")
    if variant.place == "PAYLOAD" and variant.fault in ("one-bit", "two-bits"):
        changed = True  # it has no ECC: a flipped bit is a changed payload
    if variant.place == "PAYLOAD" and changes_keys(variant):
        changed = False  # nobody reads it any more
    if changed:
        ends.append(READER[variant.place])
    if variant.page >= 0:
        ends.append("hostboot_ext")
    return ends


def _seeprom_refusals(variant: Variant) -> list[str]:
    """Nobody verifies the SEEPROM on a POWER9; SBE_FW twice in the patent's profile."""
    old = is_old(variant)
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
    reported = is_secure(variant) and variant.policy != "record-only"
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
    return ["hostboot_ext"] if variant.required and is_secure(variant) else []


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
        shut_down = machine.journal[-1].kind == "shutdown"
        assert shut_down == (changes_keys(variant) and refused is None), number
        if refused is None:
            assert machine.board.poisoned == poisoned(variant), (number, variant)
            check_log(machine, variant)
        boot_again(machine, variant)
        assert broken_invariants(machine.journal) == {}, (number, variant)


def check_log(machine: Machine, variant: Variant) -> None:
    """What is handed over accounts for every PCR, but for a TPM that was poisoned."""
    if tpm_fails(variant):
        return  # nobody can ask it any more
    different = set(log_differences(machine.event_log, machine.pcrs()))
    expected = set(range(8)) if "tpm" in poisoned(variant) else set()
    assert different == expected, variant


def boot_again(machine: Machine, variant: Variant) -> None:
    """With the power off in between, or with the memory kept and the jumper moved."""
    before = machine.board.chip.secure
    if variant.again == "cold":
        machine.power_cycle()
    elif variant.again == "memory":
        machine.board.chip.jumper = not variant.smd
        machine.memory_preserving_ipl()
    with suppress(BootFailure):
        machine.run()
    if variant.again == "memory":
        assert machine.board.chip.secure == before, variant


def test_the_draw_reaches_both_ends_of_everything() -> None:
    variants = [drawn(number) for number in range(300)]
    assert {each.fault for each in variants} == set(FAULTS)
    assert {each.override for each in variants} == set(OVERRIDES)
    assert {each.update for each in variants} == set(UPDATES)
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
