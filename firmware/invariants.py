"""What must hold about any journal; each invariant answers with the first offender.

They read the journal, not the stages, and keep their own lists: a stage that is wrong
does not get to say what is right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from pefstack.firmware.invariants_tpm import (
    chips_agree_or_tpm_is_poisoned,
    extends_are_announced,
    loses_tpm,
    poisons_tpm,
    secondary_chips_never_extend,
)
from pefstack.firmware.invariants_trust import (
    keys_change_by_two_verdicts,
    memory_preserving_keeps_secure_mode,
    secure_mode_by_the_table,
    updates_end_at_the_lock,
)
from pefstack.firmware.journal_view import (
    boots,
    of_kind,
    switched_on_with,
    watched,
)
from pefstack.hw.journal import Event

_FOREIGN: Final = ("foreign", "foreign-running")  # TPMs that write no journal
Invariant = Callable[[Sequence[Event]], Event | None]

# code that is handed over to -> subject under which it must have been measured
_MEASURED_AS: Final = {
    "SBE_FW": "sb-verification",
    "HBBL": "hbbl",
    "HBB": "hbb",
    "HBI": "hbi",
    "PAYLOAD": "payload",
    "UVISOR": "uvisor",
    "BOOTKERNEL": "bootkernel",
}
# code that another stage verifies than the one that hands over to it
_VERIFIED_BY: Final = {"BOOTKERNEL": "opal"}
# who extends what into the boot policy's PCR, in this order: figure 7A, real machines
_POLICY_ORDER: Final = {
    "patent": (
        ("sbe_immutable", "hw-key-hash"),
        ("sbe_immutable", "secure-jumper"),
        ("sbe_immutable", "sb-verification"),
        ("hostboot_ext", "policy-separator"),
        ("opal", "pef-enable"),
    ),
    "p10": (
        ("sbe_immutable", "hw-key-hash"),
        ("sbe_immutable", "security-state"),
        ("sbe_immutable", "sb-verification"),
        ("sbe_mutable", "separator"),
        ("hostboot_ext", "separator"),
        ("opal", "separator"),
    ),
    "p9": (
        ("hostboot_ext", "node-id"),
        ("hostboot_ext", "separator"),
        ("opal", "separator"),
    ),
}
# hand-overs that nobody verifies, because the real machine does not
_UNVERIFIED: Final = {"patent": (), "p10": ("SBE_FW",), "p9": ("SBE_FW", "HBBL")}
# stages whose rejections only get recorded, by the machine's policy
_RECORDING: Final = {
    "fail-closed": (),
    "record": ("sbe_immutable", "sbe_mutable"),
    "record-only": (
        "sbe_immutable",
        "sbe_mutable",
        "hostboot_loader",
        "hostboot_init",
        "hostboot_ext",
    ),
}


def measured_before_it_runs(events: Sequence[Event]) -> Event | None:
    """No code is handed over to before it was measured, while there is a TPM.

    POWER9 machines measure late: there HBI measures what ran before it.
    """
    if switched_on_with(events, "profile", "patent") == "p9":
        return None
    measured: set[str | int] = set()
    for event in events:
        if event.kind == "measure":
            measured.add(event.detail["what"])
        if loses_tpm(event):
            return None
        if event.kind == "hand-over":
            code = str(event.detail["code"])
            if _MEASURED_AS[code] not in measured:
                return event
    return None


def verified_before_it_runs(events: Sequence[Event]) -> Event | None:
    """With security on, no code is handed over to by a stage that did not verify it."""
    verified: set[tuple[str, str | int]] = set()
    exempt = _UNVERIFIED[switched_on_with(events, "profile", "patent")]
    for event, secure in watched(events):
        if event.kind == "verify":
            verified.add((event.source, event.detail["code"]))
        code = str(event.detail.get("code", ""))
        checked = (_VERIFIED_BY.get(code, event.source), code) in verified
        if event.kind != "hand-over" or event.detail["code"] in exempt:
            continue
        if secure and not checked:
            return event
    return None


def rejected_code_never_runs(events: Sequence[Event]) -> Event | None:
    """With security on, a stage that rejected anything hands over to nobody.

    Where the machine's policy has a stage record only, that is no offence.
    """
    recording = _RECORDING[switched_on_with(events, "policy", "fail-closed")]
    rejecting = {
        event.source
        for event, secure in watched(events)
        if secure and event.kind == "verify" and not event.detail["good"]
    }
    rejecting -= set(recording)
    for event in of_kind(events, "hand-over"):
        if event.source in rejecting:
            return event
    return None


def refusal_is_the_last_word(events: Sequence[Event]) -> Event | None:
    """After a refusal or a shutdown nothing runs and nothing is measured."""
    refused = False
    for event in events:
        if refused and event.kind in ("start", "measure", "extend", "verify"):
            return event
        refused = refused or event.kind in ("boot-failure", "shutdown")
    return None


def stages_start_when_handed_over(events: Sequence[Event]) -> Event | None:
    """The immutable code starts first; every other stage was handed over to."""
    expected = "sbe_immutable"
    for event in events:
        if event.kind == "start":
            if event.source != expected:
                return event
            expected = ""
        if event.kind in ("hand-over", "starts"):
            expected = str(event.detail["to"])
    return None


def policy_pcr_in_order(events: Sequence[Event]) -> Event | None:
    """The boot policy's PCR gets its profile's extends in their order, and no others.

    A machine's own further values may stand between them.
    """
    order = iter(_POLICY_ORDER[switched_on_with(events, "profile", "patent")])
    for event in _policy_measures(events):
        if str(event.detail["what"]).startswith("further-"):
            continue
        if (event.source, event.detail["what"]) != next(order, None):
            return event
    return None


def complete_boot_measured_everything(events: Sequence[Event]) -> Event | None:
    """A boot that ends well made all extends of the policy, the PEF record included."""
    needed = set(_POLICY_ORDER[switched_on_with(events, "profile", "patent")])
    if any(loses_tpm(event) or poisons_tpm(event) for event in events):
        return None
    done = {(e.source, e.detail["what"]) for e in _policy_measures(events)}
    for event in of_kind(events, "boot-complete"):
        if not needed <= done:
            return event
    return None


def records_tell_the_truth(events: Sequence[Event]) -> Event | None:
    """The jumper's and the PEF's record say what the machine was switched on with."""
    settings = {"secure-jumper": "smd", "security-state": "smd", "pef-enable": "pef"}
    power_on = next(of_kind(events, "power-on"), None)
    for event in of_kind(events, "measure"):
        setting = settings.get(str(event.detail["what"]))
        if setting is None or power_on is None:
            continue
        if str(event.detail["digest"])[:2] != f"{power_on.detail[setting]:02x}":
            return event
    return None


def tpm_starts_before_it_measures(events: Sequence[Event]) -> Event | None:
    """The TPM is started once, before the first extend, unless it was given up."""
    started = 0
    for event in events:
        if loses_tpm(event):
            return None
        if event.source == "tpm" and event.kind == "startup":
            started += 1
        if started != 1 and event.source == "tpm" and event.kind == "extend":
            return event
    return None


def hand_over_tells_the_truth(events: Sequence[Event]) -> Event | None:
    """HDAT says whether security is on; without a good TPM no machine is trusted."""
    lost = False
    for event, secure in watched(events):
        lost = lost or loses_tpm(event) or poisons_tpm(event)
        if event.kind != "hdat":
            continue
        if event.detail["secure"] != int(secure) or (lost and event.detail["trusted"]):
            return event
    return None


def opal_follows_the_hand_over(events: Sequence[Event]) -> Event | None:
    """OPAL's modes are those of HDAT; without trusted mode it measures nothing."""
    handed: tuple[str | int, ...] | None = None
    for event in events:
        if event.kind == "hdat":
            handed = _modes(event)
        if event.kind == "device-tree" and _modes(event) != handed:
            return event
        if (event.source, event.kind) == ("opal", "measure") and not (
            handed and handed[1]
        ):
            return event
    return None


def foreign_tpm_is_no_witness(events: Sequence[Event]) -> Event | None:
    """In the journal of a machine on a foreign TPM nobody speaks for the TPM."""
    if switched_on_with(events, "tpm", "model") not in _FOREIGN:
        return None
    return next((event for event in events if event.source == "tpm"), None)


INVARIANTS: Final[tuple[Invariant, ...]] = (
    measured_before_it_runs,
    verified_before_it_runs,
    rejected_code_never_runs,
    refusal_is_the_last_word,
    stages_start_when_handed_over,
    policy_pcr_in_order,
    complete_boot_measured_everything,
    extends_are_announced,
    records_tell_the_truth,
    tpm_starts_before_it_measures,
    hand_over_tells_the_truth,
    opal_follows_the_hand_over,
    secondary_chips_never_extend,
    chips_agree_or_tpm_is_poisoned,
    foreign_tpm_is_no_witness,
    secure_mode_by_the_table,
    memory_preserving_keeps_secure_mode,
    keys_change_by_two_verdicts,
    updates_end_at_the_lock,
)
# what is asked of the whole journal; everything else of each boot by itself
_OF_ALL_BOOTS: Final = (memory_preserving_keeps_secure_mode,)


def broken_invariants(events: Iterable[Event]) -> dict[str, Event]:
    """The invariants that a journal breaks, each with its first offender."""
    listed = list(events)
    parts = boots(listed)
    found: dict[str, Event] = {}
    for each in INVARIANTS:
        for part in [listed] if each in _OF_ALL_BOOTS else parts:
            if (event := each(part)) is not None:
                found.setdefault(each.__name__, event)
    return found


def _modes(event: Event) -> tuple[str | int, ...]:
    return event.detail["secure"], event.detail["trusted"]


def _policy_measures(events: Sequence[Event]) -> Iterator[Event]:
    policy = {event.detail["policy_pcr"] for event in of_kind(events, "power-on")}
    return (e for e in of_kind(events, "measure") if e.detail["pcr"] in policy)
