"""Take each defence away, alone and in a copy: the tests named for it must fail.

`python tests/sabotage.py` runs every entry of sabotage.toml, `… ID` those whose id
begins so. An entry is good when its tests pass before the patch, the patch hits one
place, and every one of its tests fails after it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent
LIST: Final = Path(__file__).with_name("sabotage.toml")
MAX_LINES: Final = 3
LEFT_OUT: Final = shutil.ignore_patterns(
    ".git", ".venv", ".*_cache", ".hypothesis", "__pycache__", "build", "dist"
)
Entry = dict[str, Any]


def main(words: Sequence[str]) -> int:
    """Run the entries; 0 if every defence has its witnesses."""
    chosen = [e for e in entries() if not words or e["id"].startswith(words[0])]
    if not chosen:
        print(f"no entry begins with {words[0]}")
        return 2
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        red = healthy_failures(chosen)
        complaints = list(pool.map(lambda entry: complaint(entry, red), chosen))
    for entry, text in zip(chosen, complaints, strict=True):
        if text:
            print(f"FAILED {entry['id']} ({entry['defends']}): {text}")
    bad = sum(map(bool, complaints))
    print(f"sabotage: {len(chosen) - bad} passed, {bad} failed")
    return 1 if bad else 0


def entries() -> list[Entry]:
    """Every entry of the list, as it stands."""
    found: list[Entry] = tomllib.loads(LIST.read_text())["sabotage"]
    return found


def healthy_failures(chosen: Sequence[Entry]) -> set[str]:
    """The named tests that fail without any sabotage: they would prove nothing."""
    names = sorted({test for entry in chosen for test in entry["tests"]})
    with tempfile.TemporaryDirectory() as folder:
        return failing(copied(Path(folder, "tree")), names, timeout=1800)


def complaint(entry: Entry, red: set[str]) -> str:
    """What is wrong with one entry; empty if its tests notice the sabotage."""
    tests = set(entry["tests"])
    if not tests or tests & red:
        return f"fails without sabotage: {sorted(tests & red)}"
    with tempfile.TemporaryDirectory() as folder:
        tree = copied(Path(folder, "tree"))
        file = tree / entry["file"]
        text = file.read_text()
        if text.count(entry["old"]) != 1 or _lines(entry["old"]) > MAX_LINES:
            return f"`old` must stand in {entry['file']} once, in one to three lines"
        file.write_text(text.replace(entry["old"], entry["new"]))
        try:
            quiet = tests - failing(tree, entry["tests"])
        except RuntimeError as broken:
            return f"proves nothing: {broken}"
        return f"not noticed by {sorted(quiet)}" if quiet else ""


def copied(tree: Path) -> Path:
    """The project without what is made; links stay links."""
    shutil.copytree(ROOT, tree, symlinks=True, ignore=LEFT_OUT)
    return tree


def failing(tree: Path, tests: Sequence[str], timeout: int = 300) -> set[str]:
    """Run the tests in this tree, and name those that fail."""
    mine = {"PYTHONPATH": f"{tree}/src", "HYPOTHESIS_PROFILE": "ci"}
    options = ["-P", "-B", "-m", "pytest", "-rf", "--tb=no", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, *options, *tests],
        cwd=tree,
        env=os.environ | mine,
        text=True,
        capture_output=True,
        timeout=timeout,
    )
    if done.returncode > 1:  # not collected, not imported: this proves nothing
        raise RuntimeError(done.stdout[-2000:])
    return set(re.findall(r"^FAILED ([^\s\[]+)", done.stdout, re.MULTILINE))


def _lines(text: str) -> int:
    return text.strip("\n").count("\n") + 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
