"""A boot as people read it: made from the journal alone, stage by stage."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import takewhile
from typing import Final

from pefstack.firmware.journal_view import boots
from pefstack.hw.journal import Event
from pefstack.tools.guest_report import guest_lines
from pefstack.tools.log_check import Differences
from pefstack.tools.style import clean, paint, width

HONEST: Final = (
    "no firmware instruction is executed: stages are models that handle real bytes"
)
_WHOSE_TPM: Final = {
    "": "",
    "foreign": "the TPM is another's: what it holds is asked for at the end",
    "foreign-running": "the TPM is another's and was on: its PCRs begin as they are",
}
_TEXT_WIDTH: Final = 38
_EXTEND_WIDTH: Final = len("  PCR6   ") + _TEXT_WIDTH + len(" -> ") + 2 * 64 + 1


def heading(event: Event) -> str:
    """What kind of machine was switched on."""
    detail = event.detail
    security = "on" if detail["sab"] else "off (jumper)"
    if detail["mpipl"]:
        kept = "on" if detail["sab"] else "off"
        security = f"{kept} as before (memory-preserving IPL)"
    pef = "on" if detail["pef"] else "off"
    text = f"{detail['machine']}: profile {detail['profile']}, security {security}"
    return f"{paint(clean(text), 'strong')}, PEF {pef}"


def tpm_line(event: Event) -> str:
    """Whose TPM it is; empty for the model."""
    return _WHOSE_TPM[str(event.detail.get("tpm", ""))]


def stage_lines(events: Sequence[Event], *, told: bool = True) -> Iterator[str]:
    """One stage: a line with what it verified, a line for each extend.

    ``told``: the journal has what the TPM did.
    """
    name = events[0].source
    own = [event for event in events if not event.source.startswith("chip")]
    yield f"{name:<16} {_summary(own)}"
    for event in events:
        own_or_loud = event in own or event.kind != "secure-mode"
        if event.kind in _LINES and own_or_loud:
            yield from _LINES[event.kind](event)
        yield from guest_lines(event)
    yield from _chips(events)
    yield from _extends(own, told)


def refusal_lines(event: Event) -> Iterator[str]:
    """Why a stage refused: check, log word, what to do."""
    detail = event.detail
    yield paint(f"{event.source} refused: {detail['refusal']}", "bad")
    yield f"  reason    {clean(str(detail['reason']))}"
    if detail["log"]:
        yield f"  log word  {detail['log']}"
    yield f"  to do     {detail['mend']}"


def alarm_lines(events: Iterable[Event]) -> Iterator[str]:
    """Rejections that nobody enforced: the boot went on all the same."""
    listed = boots(events)[-1]
    refusing = {event.source for event in listed if event.kind == "boot-failure"}
    for event in listed:
        passed_over = event.kind == "verify" and not event.detail["good"]
        if passed_over and event.source not in refusing:
            text = f"ALARM: {event.source} went on: {event.detail['code']}: "
            yield paint(text, "bad") + clean(str(event.detail["verdict"]))


def log_lines(differences: Differences) -> Iterator[str]:
    """PCRs to which the event log does not replay: somebody's log is wrong."""
    for index, (replayed, value) in differences.items():
        text = f"ALARM: the event log does not replay to PCR{index}: "
        yield paint(text, "bad") + f"log {replayed.hex()}, TPM {value.hex()}"


def pcr_lines(values: dict[int, bytes], policy_pcr: int) -> Iterator[str]:
    """The table of PCRs that hold something; the boot policy's is named."""
    if not values:
        yield "no PCR to show: the TPM has no SHA-256 bank, was not started, or is dead"
    for index, value in values.items():
        if index == policy_pcr:
            yield paint(f"PCR{index:<3} {value.hex()}  policy", "strong")
        elif any(value) and set(value) != {0xFF}:
            yield f"PCR{index:<3} {value.hex()}"


def _summary(events: Sequence[Event]) -> str:
    """What the stage verified, and how it ended."""
    words = []
    for good, word, style in ((1, "verified", "good"), (0, "rejected", "bad")):
        codes = [
            str(event.detail["code"])
            for event in events
            if event.kind == "verify" and event.detail["good"] == good
        ]
        words += [paint(f"{word} {', '.join(codes)}", style)] if codes else []
    joint = ", " if words and events[-1].kind == "boot-complete" else " "
    return joint.join([", ".join(words), *_ending(events[-1])]).strip()


def _ending(last: Event) -> list[str]:
    if last.kind in ("hand-over", "starts"):
        return [f"-> {last.detail['to']}"]
    if last.kind == "boot-failure":
        return [paint("-> refused", "bad")]
    if last.kind == "shutdown":
        return [f"-> shutdown: {last.detail['reason']}"]
    return ["end of the chain"] if last.kind == "boot-complete" else []


def _ecc(event: Event) -> Iterator[str]:
    offset, count = event.detail["offset"], event.detail["count"]
    yield f"  flash  {event.kind}: {count} words, the first at 0x{offset:x}"


def _chips(events: Sequence[Event]) -> Iterator[str]:
    """What the secondary chips did, how they compare, and what was poisoned."""
    primary = next((event for event in events if event.kind == "chip"), None)
    for event in events:
        if event.kind == "chip-started":
            yield _started(event, events)
        if event.kind == "chip" and primary is not None and event is not primary:
            yield _compared(event, primary)
        if event.kind == "poison":
            yield paint(f"  {event.source} poisons {event.detail['tpm']}", "bad")


def _started(event: Event, events: Sequence[Event]) -> str:
    number = event.detail["chip"]
    own = [each for each in events if each.source.startswith(f"chip{number}.")]
    return f"  chip {number}  {_summary(own)}" if own else f"  chip {number}  started"


def _compared(event: Event, primary: Event) -> str:
    keys = ("security", "keys", "code")
    differing = [key for key in keys if event.detail[key] != primary.detail[key]]
    name = f"  chip {event.detail['chip']}"
    if not differing:
        return f"{name}  measured the same as the primary"
    return paint(f"{name}  differs from the primary: {', '.join(differing)}", "bad")


def _tpm_lost(event: Event) -> Iterator[str]:
    detail = event.detail
    whose, _, chip = event.source.partition(".")
    name = f"TPM of {whose}" if chip else "TPM"
    text = f"  {name} given up, step code 0x{detail['step']:02x}: {detail['reason']}"
    yield paint(text, "bad")


def _override(event: Event) -> Iterator[str]:
    """Only what the heading does not say: SBE_FW let the BMC switch security off."""
    if event.detail["decided"] and not event.detail["secure"]:
        registers = f"scratch 3 {event.detail['scratch_3']}"
        yield paint(f"  security OFF by the lab override, {registers}", "bad")


def _sbe_update(event: Event) -> Iterator[str]:
    detail = event.detail
    whose, _, chip = event.source.partition(".")
    sbe = f"SBE of {whose}" if chip else "SBE"
    version = f"minimum secure version {detail['minimum_secure_version']}"
    if detail["done"]:
        yield f"  {sbe} updated from the flash for the next cold start, {version}"
    else:
        yield paint(f"  {sbe} not updated: {clean(str(detail['reason']))}", "bad")


def _key_transition(event: Event) -> Iterator[str]:
    yield f"  hardware key hash was {event.detail['old']}"
    yield f"                 is now {event.detail['new']}"


_LINES: Final[dict[str, Callable[[Event], Iterator[str]]]] = {
    "ecc-corrected": _ecc,
    "ecc-uncorrectable": _ecc,
    "tpm-lost": _tpm_lost,
    "secure-mode": _override,
    "sbe-update": _sbe_update,
    "key-transition": _key_transition,
}


def _extends(events: Sequence[Event], told: bool) -> Iterator[str]:
    """Each measurement with the value that the TPM answered for it."""
    for number, event in enumerate(events):
        if event.kind != "measure":
            continue
        detail = event.detail
        label = f"  PCR{detail['pcr']:<3} {clean(str(detail['text'])):<{_TEXT_WIDTH}}"
        gap = " " if width() >= _EXTEND_WIDTH else "\n         "
        yield (
            label + gap + f"{detail['digest']}{gap}{_value(events[number + 1 :], told)}"
        )


def _value(after: Sequence[Event], told: bool) -> str:
    """The new value in the SHA-256 bank, among the extends that follow at once."""
    following = after[0] if after else None
    for event in takewhile(lambda event: event.kind == "extend", after):
        if event.detail["bank"] == "sha256":
            return f"-> {event.detail['value']}"
    if following is not None and following.kind in ("boot-failure", "tpm-lost"):
        return "-> refused"
    return "-> no SHA-256 bank" if told else "-> sent"
