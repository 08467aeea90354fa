"""A boot as people read it: made from the journal alone, stage by stage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from pefstack.hw.journal import Event
from pefstack.tools.style import clean, paint, width

HONEST: Final = (
    "no firmware instruction is executed: stages are models that handle the real bytes"
)
_EXTEND_WIDTH: Final = 40 + 2 * 66


def heading(event: Event) -> str:
    """What kind of machine was switched on."""
    detail = event.detail
    security = "off (jumper)" if detail["smd"] else "on"
    pef = "on" if detail["pef"] else "off"
    text = f"{detail['machine']}: profile {detail['profile']}, security {security}"
    return f"{paint(clean(text), 'strong')}, PEF {pef}"


def stage_lines(events: Sequence[Event]) -> Iterator[str]:
    """One stage: a line with what it verified, a line for each extend."""
    name = events[0].source
    yield f"{name:<16} {_summary(events)}"
    for event in events:
        if event.kind.startswith("ecc-"):
            yield _ecc(event)
    yield from _extends(events)


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
    for event in events:
        if event.kind == "verify" and not event.detail["good"]:
            text = f"ALARM: {event.source} went on: {event.detail['code']}: "
            yield paint(text, "bad") + clean(str(event.detail["verdict"]))


def pcr_lines(values: dict[int, bytes], policy_pcr: int) -> Iterator[str]:
    """The table of PCRs that hold something; the boot policy's is named."""
    for index, value in values.items():
        if index == policy_pcr:
            yield paint(f"PCR{index:<3} {value.hex()}  boot policy", "strong")
        elif any(value) and set(value) != {0xFF}:
            yield f"PCR{index:<3} {value.hex()}"


def _summary(events: Sequence[Event]) -> str:
    parts = []
    for event in events:
        if event.kind == "verify" and event.detail["good"]:
            parts.append(paint(f"verified {event.detail['code']}", "good"))
        elif event.kind == "verify":
            parts.append(paint(f"rejected {event.detail['code']}", "bad"))
        elif event.kind == "hand-over":
            parts.append(f"-> {event.detail['to']}")
        elif event.kind == "boot-complete":
            parts.append("end of the chain")
        elif event.kind == "boot-failure":
            parts.append(paint("REFUSED", "bad"))
    return ", ".join(parts)


def _ecc(event: Event) -> str:
    offset, count = event.detail["offset"], event.detail["count"]
    return f"  flash  {event.kind}: {count} words, the first at 0x{offset:x}"


def _extends(events: Sequence[Event]) -> Iterator[str]:
    """Each measurement with the value that the TPM answered for it."""
    for number, event in enumerate(events):
        if event.kind != "measure":
            continue
        detail = event.detail
        label = f"  PCR{detail['pcr']:<3} {clean(str(detail['text'])):<38}"
        gap = " " if width() >= _EXTEND_WIDTH else "\n         "
        yield label + gap + f"{detail['digest']}{gap}{_value(events[number + 1 :])}"


def _value(after: Sequence[Event]) -> str:
    if after and after[0].kind == "extend":
        return f"-> {after[0].detail['value']}"
    return "-> refused"
