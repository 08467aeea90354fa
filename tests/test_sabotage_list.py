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


def test_what_the_runner_reports_and_that_it_cleans_up(tmp_path: Path) -> None:
    tree = sabotage.copied(ROOT, tmp_path / "tree")
    path = "tests/images/test_rejection.py"
    name = re.findall(r"^def (test_\w+)", (ROOT / path).read_text(), re.MULTILINE)[0]
    entry = {
        "file": "images/rejection.py",
        "old": "COMPLETED: Final = 0x3",
        "new": "COMPLETED: Final = 0x3  # harmless",
        "tests": [f"{path}::{name}"],
    }
    before = (tree / "images/rejection.py").read_bytes()
    judge = sabotage.complaint
    assert "not noticed by" in judge(entry, set(), tree)
    assert "once" in judge(entry | {"old": "no such line"}, set(), tree)
    assert "proves nothing" in judge(entry | {"new": "COMPLETED = ("}, set(), tree)
    assert "fails without" in judge(entry, set(entry["tests"]), tree)
    assert (tree / "images/rejection.py").read_bytes() == before


def test_a_sabotage_that_is_noticed_draws_no_complaint(tmp_path: Path) -> None:
    tree = sabotage.copied(ROOT, tmp_path / "tree")
    entry = next(each for each in ENTRIES if each["id"] == "hbbl-area-size")
    assert sabotage.complaint(entry, set(), tree) == ""
