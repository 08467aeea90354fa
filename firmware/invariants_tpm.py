"""What must hold of the TPMs and of the chips in any journal.

Like all invariants they read the journal alone and keep their own lists.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import takewhile
from typing import Final

from pefstack.hw.journal import Event

_ANSWERS: Final = ("boot-failure", "tpm-lost")  # what follows a measure
_POISONED: Final = range(8)
_TPM_NAMES: Final = {"tpm": "banks", "backup-tpm": "backup_banks"}
_COMPARED: Final = ("security", "keys", "code")

# one command that was announced: bank -> TPM, PCR and digest of the extend it gives
Group = dict[str, tuple[str, int, str]]


def extends_are_announced(events: Sequence[Event]) -> Event | None:
    """A TPM extends what a stage announced just before, and everything announced.

    One announcement may be for several banks: each that the TPM had allocated at
    power-on gets its own extend, others none. Poisoning announces PCR 0 to 7.
    """
    announced, groups = None, list[Group]()
    allocated, policy = _allocated(events), _policy_pcrs(events)
    for event in _booting(events):
        if event.kind == "extend":
            if not groups or groups[0].pop(_bank(event), None) != _extended(event):
                return event
            groups = groups if groups[0] else groups[1:]
            continue
        if groups and event.kind not in _ANSWERS:
            return announced
        announced, groups = event, [*_announced(event, allocated, policy)]
    return announced if groups else None


def secondary_chips_never_extend(events: Sequence[Event]) -> Event | None:
    """Code on a secondary chip measures into its registers, never into a TPM."""
    for event in events:
        if event.kind == "measure" and _by_secondary(event):
            return event
    return None


def chips_agree_or_tpm_is_poisoned(events: Sequence[Event]) -> Event | None:
    """No hand-over after a chip differed from the primary, but with a poisoned TPM.

    Or without one: a TPM that was given up tells nothing.
    """
    reference: list[str | int] = []
    differing = False
    for event in events:
        if event.kind == "chip":
            values = [event.detail[name] for name in _COMPARED]
            reference = reference or values
            differing = differing or values != reference
        if loses_tpm(event) or poisons_tpm(event):
            return None
        if differing and event.kind == "hand-over":
            return event
    return None


def loses_tpm(event: Event) -> bool:
    """The primary's TPM is given up; of a backup's no boot depends."""
    return event.kind == "tpm-lost" and not _by_secondary(event)


def poisons_tpm(event: Event) -> bool:
    """The primary's TPM is poisoned; a backup TPM always is."""
    return event.kind == "poison" and event.detail["tpm"] == "tpm"


def _by_secondary(event: Event) -> bool:
    return event.source.startswith("chip")


def _booting(events: Iterable[Event]) -> Iterator[Event]:
    """The events of the chain; what an operating system extends later is its own."""
    return takewhile(lambda event: event.kind != "boot-complete", events)


def _announced(
    event: Event, allocated: dict[str, set[str] | None], policy: Sequence[int]
) -> Iterator[Group]:
    """The commands that an event announces."""
    name, pcrs = "tpm", list[int]()
    if event.kind == "measure" and not _by_secondary(event):
        pcrs = [int(event.detail["pcr"])]
    if event.kind == "poison":
        name, pcrs = str(event.detail["tpm"]), [*_POISONED, *policy]
    for pcr in pcrs:
        group = {
            bank: (name, pcr, digest)
            for bank, digest in _digests(event)
            if (there := allocated[name]) is None or bank in there
        }
        if group:
            yield group


def _digests(event: Event) -> Iterator[tuple[str, str]]:
    for key, value in event.detail.items():
        if key.startswith("digest"):
            yield key.removeprefix("digest").removeprefix("_") or "sha256", str(value)


def _bank(extend: Event) -> str:
    return str(extend.detail["bank"])


def _extended(extend: Event) -> tuple[str, int, str]:
    detail = extend.detail
    return extend.source, int(detail["pcr"]), str(detail["digest"])


def _allocated(events: Iterable[Event]) -> dict[str, set[str] | None]:
    """TPM -> the banks that it had allocated at power-on; None: nobody said."""
    said = next((e.detail for e in events if e.kind == "power-on"), {})
    return {
        name: set(str(said[key]).split(",")) if key in said else None
        for name, key in _TPM_NAMES.items()
    }


def _policy_pcrs(events: Iterable[Event]) -> list[int]:
    """The boot policy's PCR where it is none of those that are poisoned anyway."""
    said = [int(e.detail["policy_pcr"]) for e in events if e.kind == "power-on"]
    return [pcr for pcr in said if pcr not in _POISONED]
