"""The list of defences is complete: rows, rejections, refusals and invariants."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

import sabotage
from pefstack.firmware.invariants import INVARIANTS
from pefstack.firmware.stage import Refusal
from pefstack.images.rejection import Rejection

ROOT = Path(__file__).parent.parent
ENTRIES = sabotage.entries()
DEFENDED = {str(entry["defends"]) for entry in ENTRIES}


def rows_with_a_test() -> set[str]:
    """Checklist rows that some test bears in its name."""
    found: set[str] = set()
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        found |= set(re.findall(r"^def test_p(\d+)_", path.read_text(), re.MULTILINE))
    return {f"P{number}" for number in found}


def test_this_issues_rows_have_tests() -> None:
    rows = {f"P{number}" for number in (*range(1, 9), 49, 51)}
    assert rows <= rows_with_a_test()


@pytest.mark.parametrize(
    "needed",
    [
        *sorted(rows_with_a_test()),
        *(f"Rejection.{each.name}" for each in Rejection),
        *(f"Refusal.{each.name}" for each in Refusal),
        *(f"invariant {each.__name__}" for each in INVARIANTS),
    ],
)
def test_every_row_refusal_and_invariant_has_an_entry(needed: str) -> None:
    assert needed in DEFENDED


def test_ids_are_used_once() -> None:
    counted = Counter(entry["id"] for entry in ENTRIES)
    assert [name for name, count in counted.items() if count > 1] == []


def test_patches_hit_one_place_and_name_tests_that_exist() -> None:
    for entry in ENTRIES:
        text = (ROOT / entry["file"]).read_text()
        assert text.count(entry["old"]) == 1, entry["id"]
        for test in entry["tests"]:
            path, _, name = test.partition("::")
            assert f"def {name}(" in (ROOT / path).read_text(), entry["id"]


def test_a_sabotage_that_nobody_notices_is_reported() -> None:
    entry = {
        "id": "harmless",
        "defends": "the runner itself",
        "file": "images/rejection.py",
        "old": "COMPLETED: Final = 0x3",
        "new": "COMPLETED: Final = 0x3  # harmless",
        "tests": ["tests/images/test_rejection.py"],
    }
    name = next(
        line.partition("(")[0].removeprefix("def ")
        for line in (ROOT / "tests/images/test_rejection.py").read_text().splitlines()
        if line.startswith("def test_")
    )
    entry["tests"] = [f"tests/images/test_rejection.py::{name}"]
    assert "not noticed by" in sabotage.complaint(entry, set())
    assert "once" in sabotage.complaint(entry | {"old": "no such line"}, set())
    broken = entry | {"new": "COMPLETED: Final = ("}
    assert "proves nothing" in sabotage.complaint(broken, set())
