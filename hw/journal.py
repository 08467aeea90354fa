"""The journal: the one account of what happened on a machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final

Detail = dict[str, str | int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened: no clock, no path, no secret; digests in full hex."""

    seq: int
    source: str
    kind: str
    detail: Detail


class Journal:
    """An append-only list of events.

    ``prefix`` stands before the source of everything that is added through this one.
    """

    __slots__ = ("_events", "_prefix")
    keeps: ClassVar[bool] = True  # False: whatever is added is gone, so spare the work

    def __init__(self, events: list[Event] | None = None, prefix: str = "") -> None:
        self._events: Final[list[Event]] = [] if events is None else events
        self._prefix: Final = prefix

    def add(self, source: str, kind: str, **detail: str | int) -> None:
        """Append one event; ``seq`` counts from 0."""
        events, name = self._events, self._prefix + source
        events.append(Event(seq=len(events), source=name, kind=kind, detail=detail))

    def named(self, prefix: str) -> Journal:
        """The same journal for a part of the machine: its sources get this prefix."""
        return Journal(self._events, self._prefix + prefix)

    def fork(self) -> Journal:
        """A journal with the same past and a future of its own."""
        return Journal(list(self._events), self._prefix)

    def __iter__(self) -> Iterator[Event]:
        return iter(self._events)

    def __len__(self) -> int:
        return len(self._events)

    def __getitem__(self, index: int) -> Event:
        return self._events[index]
