"""The page about the hostile relay says what the code does."""

from __future__ import annotations

from pefstack.firmware.hypervisor.relay.table import RELAYS
from relay_search_kit import COUNT
from test_docs import section, table

PAGE = "relay.md"


def test_the_table_has_every_relay_in_its_words() -> None:
    found = {
        row["id"]: (row["what it does"], row["stopped by"])
        for row in table(PAGE, "The relays")
    }
    assert found == {
        name: (relay.what, relay.stopped_by) for name, relay in RELAYS.items()
    }


def test_the_defences_name_relays_that_exist() -> None:
    named = [row["relays"] for row in table(PAGE, "What each defence is for")]
    ids = {each for cell in named for each in cell.replace(",", " ").split()}
    assert ids - set(RELAYS) == {"and", "its", "like"}
    assert len(named) == 14


def test_the_number_of_scripts_is_that_of_the_test() -> None:
    assert f"{COUNT} scripts" in section(PAGE, "The relay that does anything")
