"""What invariants ask of a journal: boots, kinds, and whether security was on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pefstack.hw.journal import Event


def boots(events: Iterable[Event]) -> list[list[Event]]:
    """The events of each boot, from one power-on or memory-preserving IPL to the next.

    What stands before the first belongs to it.
    """
    found: list[list[Event]] = [[]]
    for event in events:
        if event.kind == "power-on" and any(of_kind(found[-1], "power-on")):
            found.append([])
        found[-1].append(event)
    return found


def of_kind(events: Iterable[Event], kind: str) -> Iterator[Event]:
    """The events of one kind."""
    return (event for event in events if event.kind == kind)


def on_primary(event: Event) -> bool:
    """Whether the primary chip is the source; others have ``chipN.`` before it."""
    return "." not in event.source


def watched(events: Iterable[Event]) -> Iterator[tuple[Event, bool]]:
    """Each event, and whether security was on from it on: sampled, then decided.

    What a secondary chip decides is its own.
    """
    secure = True
    for event in events:
        if event.kind == "power-on":
            secure = bool(event.detail.get("sab", not event.detail["smd"]))
        if event.kind == "secure-mode" and on_primary(event):
            secure = bool(event.detail["secure"])
        yield event, secure


def switched_on_with(events: Iterable[Event], name: str, default: str) -> str:
    """What the machine was switched on with."""
    values = [str(e.detail.get(name, default)) for e in of_kind(events, "power-on")]
    return values[0] if values else default
