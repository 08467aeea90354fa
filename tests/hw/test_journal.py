"""The journal: append-only, numbered from 0, forked with its past."""

from __future__ import annotations

import json
import pickle
from dataclasses import FrozenInstanceError, asdict, fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pefstack.hw.journal import Event, Journal

DETAILS = st.dictionaries(
    st.sampled_from(["pcr", "digest", "what"]), st.text(max_size=8) | st.integers()
)
EVENTS = st.tuples(st.sampled_from(["tpm", "flash"]), st.just("extend"), DETAILS)


def filled(count: int) -> Journal:
    journal = Journal()
    for number in range(count):
        journal.add("tpm", "extend", pcr=number)
    return journal


@given(st.lists(EVENTS, max_size=12))
def test_events_are_numbered_and_kept_in_order(
    events: list[tuple[str, str, dict[str, str | int]]],
) -> None:
    journal = Journal()
    for source, kind, detail in events:
        journal.add(source, kind, **detail)
    assert [each.seq for each in journal] == list(range(len(events)))
    assert [(e.source, e.kind, e.detail) for e in journal] == events
    assert len(journal) == len(events)
    assert [journal[each.seq] for each in journal] == list(journal)


def test_a_fork_has_the_past_and_a_future_of_its_own() -> None:
    journal = filled(3)
    fork = journal.fork()
    assert list(fork) == list(journal)
    fork.add("flash", "ecc-corrected", offset=9)
    journal.add("tpm", "startup")
    assert [e.kind for e in journal] == ["extend"] * 3 + ["startup"]
    assert [e.kind for e in fork] == ["extend"] * 3 + ["ecc-corrected"]
    assert fork[3].seq == journal[3].seq == 3


def test_an_event_cannot_be_changed() -> None:
    event = filled(1)[0]
    for field in fields(event):
        with pytest.raises(FrozenInstanceError):
            setattr(event, field.name, 1)


def test_pickle_and_json_keep_every_event() -> None:
    journal = filled(4)
    restored = pickle.loads(pickle.dumps(journal))
    assert list(restored) == list(journal)
    restored.add("tpm", "startup")
    assert len(journal) == 4
    lines = [json.dumps(asdict(each)) for each in journal]
    assert [Event(**json.loads(line)) for line in lines] == list(journal)
