"""The list of defences is complete: rows, rejections, refusals and invariants."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import tomli_w

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


def run_list(path: Path, *changes: dict[str, str]) -> str:
    """The runner's output for one entry with changes, each under an id of its own."""
    test = "tests/images/test_hbbl_area.py::test_what_does_not_fit_is_refused"
    base = {
        "defends": "the runner",
        "file": "images/hbbl_area.py",
        "old": "    if len(head) > KEY_HASH_OFFSET:",
        "new": "    if len(head) > AREA_SIZE:",
    }
    rows = [base | {"id": f"e{n}"} | change for n, change in enumerate(changes)]
    tables = [{**row, "tests": [row.pop("test", test)]} for row in rows]
    path.write_text(tomli_w.dumps({"sabotage": tables}))
    command = [sys.executable, str(ROOT / "tests/sabotage.py"), "--list", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout


def test_the_runner_tells_good_entries_from_hollow_ones(tmp_path: Path) -> None:
    text = run_list(
        tmp_path / "list.toml",
        {},
        {"new": "    if len(head) > KEY_HASH_OFFSET:  # harmless"},
        {"old": "no such line"},
        {"new": "    if len(head) > (:"},
    )
    lines = text.splitlines()
    assert lines[-1] == "sabotage: 1 passed, 3 failed"
    assert lines[0].startswith("FAILED e1 (the runner): not noticed by")
    assert "`old` must stand in images/hbbl_area.py once" in lines[1]
    assert "FAILED e3 (the runner): proves nothing" in text


def test_a_test_that_fails_anyway_proves_nothing(tmp_path: Path) -> None:
    text = run_list(tmp_path / "list.toml", {"test": "tests/no_such_file.py::test_x"})
    assert "sabotage: 1 passed" not in text
