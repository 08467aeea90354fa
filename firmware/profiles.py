"""Measurement profiles: who extends what, into which PCR, with which event."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

from pefstack.firmware.profile_p9 import P9
from pefstack.firmware.profile_p10 import P10
from pefstack.firmware.profile_patent import PATENT
from pefstack.firmware.profile_row import POLICY, SEPARATED, ProfileTable
from pefstack.hw.machine import MeasureSpec
from pefstack.hw.mapping import SettingError
from pefstack.images.event_log import EV_COMPACT_HASH, EV_SEPARATOR

POLICY_PCR: Final = 6
POLICY_PCRS: Final = (6, *range(8, 17), 23)  # what locality 0 may extend, alone
PROFILES: Final[dict[str, ProfileTable]] = {"patent": PATENT, "p10": P10, "p9": P9}


@dataclass(frozen=True, slots=True, kw_only=True)
class Extend:
    """One extend of one PCR; ``text`` is the event data, ``banks`` in log order."""

    stage: str
    what: str
    pcr: int
    event_type: int
    text: bytes
    banks: tuple[int, ...]

    def of_chip(self, number: int) -> Extend:
        """The same extend of another chip's value: its text says which."""
        text = self.text.replace(b"chip 0", b"chip %d" % number)
        return replace(self, text=text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """All extends of a boot in their order, for one machine's settings."""

    name: str
    policy_pcr: int
    table: ProfileTable
    extends: tuple[Extend, ...]
    by_subject: dict[tuple[str, str], tuple[Extend, ...]]

    def subjects(self, stage: str) -> tuple[str, ...]:
        """What a stage measures, each once, in the order of the table."""
        return tuple(dict.fromkeys(each.what for each in self.of_stage(stage)))

    def of_stage(self, stage: str) -> tuple[Extend, ...]:
        """The extends of one stage."""
        return tuple(each for each in self.extends if each.stage == stage)


@cache
def profile_of(measure: MeasureSpec) -> Profile:
    """The profile with the machine's own PCR and further values put in."""
    if measure.profile not in PROFILES:
        there = ", ".join(PROFILES)
        raise SettingError(
            "machine.measure.profile", f"no profile {measure.profile!r}: {there}"
        )
    table = PROFILES[measure.profile]
    if measure.pcr != POLICY_PCR and all(row[2] != POLICY for row in table.rows):
        raise SettingError(
            "machine.measure.pcr",
            f"profile {measure.profile} is what real machines do: PCR{POLICY_PCR}",
        )
    if measure.pcr not in POLICY_PCRS:
        found = f"found {measure.pcr}, expected 6, 8 to 16 or 23"
        raise SettingError("machine.measure.pcr", f"{found}: nobody else extends those")
    extends = tuple(_expanded(measure, table))
    subjects = dict.fromkeys((each.stage, each.what) for each in extends)
    return Profile(
        name=measure.profile,
        policy_pcr=measure.pcr,
        table=table,
        extends=extends,
        by_subject={
            subject: tuple(e for e in extends if (e.stage, e.what) == subject)
            for subject in subjects
        },
    )


def further_value(measure: MeasureSpec, what: str) -> bytes:
    """The value of the further subject ``further-N``."""
    return measure.further[int(what.removeprefix("further-"))].value


def _expanded(measure: MeasureSpec, table: ProfileTable) -> Iterable[Extend]:
    """Every extend in its order; a stage begins with its further values."""
    previous = ""
    for stage, what, place, event_type, text in table.rows:
        if stage != previous:
            yield from _further(measure, table, stage)
        previous = stage
        banks = table.banks
        if event_type == EV_SEPARATOR:
            banks = table.separator_banks.get(stage, banks)
        for pcr in _pcrs(place, measure.pcr):
            yield Extend(
                stage=stage,
                what=what,
                pcr=pcr,
                event_type=event_type,
                text=text,
                banks=banks,
            )


def _pcrs(place: int, policy_pcr: int) -> tuple[int, ...]:
    if place == SEPARATED:
        return tuple(pcr for pcr in range(8) if pcr != policy_pcr)
    return (policy_pcr if place == POLICY else place,)


def _further(measure: MeasureSpec, table: ProfileTable, stage: str) -> Iterable[Extend]:
    for number, each in enumerate(measure.further):
        if each.stage == stage:
            yield Extend(
                stage=stage,
                what=f"further-{number}",
                pcr=measure.pcr,
                event_type=EV_COMPACT_HASH,
                text=each.text.encode() + b"\0",
                banks=table.banks,
            )
