"""What must hold of secure mode, key transition and SBE update in any journal.

Like all invariants they read the journal and keep rules of their own (boot-chain.md
1.3, 1.5, 1.6).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pefstack.firmware.journal_view import of_kind, on_primary, watched
from pefstack.hw.journal import Event

_ASKED_FOR: Final = 0x0200_0000  # scratch 3 bit 6: the BMC wants security off
_VALID: Final = 0x2000_0000  # scratch 8 bit 2: scratch 3 counts
_UPDATES: Final = ("sbe-update", "key-transition")


def secure_mode_by_the_table(events: Sequence[Event]) -> Event | None:
    """A cold boot is secure unless the jumper, or SBE_FW and the BMC, want it off."""
    good = False
    for event in events:
        detail = event.detail
        if not on_primary(event):
            continue
        if event.kind == "verify" and detail["code"] == "SBE_FW":
            good = bool(detail["good"])
        cold = event.kind == "power-on" and not detail.get("mpipl", 0)
        if cold and _sampled(event) == bool(detail["smd"]):
            return event
        if event.kind == "secure-mode" and not _as_in_table(events, event, good):
            return event
    return None


def memory_preserving_keeps_secure_mode(events: Sequence[Event]) -> Event | None:
    """A memory-preserving IPL begins and goes on with the SAB of the boot before."""
    before = None
    for event, secure in watched(events):
        again = event.kind == "power-on" and bool(event.detail.get("mpipl", 0))
        if again and before is not None and secure != before:
            return event
        before = secure
    return None


def keys_change_by_two_verdicts(events: Sequence[Event]) -> Event | None:
    """New keys need SBKT and what it holds verified, and nothing runs after them."""
    good: set[tuple[str, str | int]] = set()
    changed = False
    for event in events:
        if event.kind == "verify" and event.detail["good"]:
            good.add((event.source, event.detail["code"]))
        if event.kind == "key-transition":
            changed = True
            wanted = {(event.source, code) for code in ("SBKT", "SBKT nested")}
            if not wanted <= good:
                return event
        if changed and event.kind in ("hand-over", "boot-complete"):
            return event
    return None


def updates_end_at_the_lock(events: Sequence[Event]) -> Event | None:
    """Nobody changes the SBE behind the update lock or in a memory-preserving IPL.

    Each chip has a lock. With security on OPAL never starts without the primary's.
    """
    locked: set[str] = set()
    preserving = any(e.detail.get("mpipl", 0) for e in of_kind(events, "power-on"))
    for event, secure in watched(events):
        if event.kind == "update-lock":
            locked.add(event.source)
        if event.kind in _UPDATES and (event.source in locked or preserving):
            return event
        starts_opal = event.kind == "hand-over" and event.detail["to"] == "opal"
        if starts_opal and secure and event.source not in locked:
            return event
    return None


def _as_in_table(events: Sequence[Event], decided: Event, firmware_good: bool) -> bool:
    """The table of 1.5; a memory-preserving IPL and the jumper leave SAB alone."""
    secure = bool(decided.detail["secure"])
    override = bool(decided.detail["override"])
    for on in of_kind(events, "power-on"):
        if on.detail.get("mpipl", 0) or on.detail["smd"]:
            return secure == _sampled(on)
    asked = _word(decided, "scratch_3") & _ASKED_FOR
    valid = _word(decided, "scratch_8") & _VALID
    off = bool(firmware_good and override and valid and asked)
    return secure is not off


def _sampled(on: Event) -> bool:
    """SAB as the hardware left it; a journal may leave out what follows from SMD."""
    return bool(on.detail.get("sab", not on.detail["smd"]))


def _word(event: Event, register: str) -> int:
    return int(str(event.detail[register]), 16)
