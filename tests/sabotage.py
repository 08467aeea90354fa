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
from queue import SimpleQueue
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
    with tempfile.TemporaryDirectory() as folder:
        warm = copied(ROOT, Path(folder, "warm"))
        red = healthy_failures(warm, chosen)
        complaints = in_parallel(warm, chosen, red)
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


def healthy_failures(warm: Path, chosen: Sequence[Entry]) -> set[str]:
    """The named tests that fail without any sabotage: they would prove nothing.

    They leave their byte code in this tree, which makes its copies start faster.
    """
    names = sorted({test for entry in chosen for test in entry["tests"]})
    return failing(warm, names, timeout=1800, byte_code=True)


def in_parallel(warm: Path, chosen: Sequence[Entry], red: set[str]) -> list[str]:
    """What is wrong with each entry, in their order; every worker has its own tree."""
    trees: SimpleQueue[Path] = SimpleQueue()
    workers = os.cpu_count() or 1
    for number in range(workers):
        trees.put(copied(warm, warm.with_name(f"tree{number}")))

    def judge(entry: Entry) -> str:
        tree = trees.get()
        try:
            return complaint(entry, red, tree)
        finally:
            trees.put(tree)

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(judge, chosen))


def complaint(entry: Entry, red: set[str], tree: Path) -> str:
    """What is wrong with one entry; empty if its tests notice the sabotage.

    The tree is patched for as long as the tests run, and is then as it was.
    """
    tests = set(entry["tests"])
    if not tests or tests & red:
        return f"fails without sabotage: {sorted(tests & red)}"
    file = tree / entry["file"]
    text, times = file.read_text(), file.stat()
    if text.count(entry["old"]) != 1 or _lines(entry["old"]) > MAX_LINES:
        return f"`old` must stand in {entry['file']} once, in one to three lines"
    try:
        file.write_text(text.replace(entry["old"], entry["new"]))
        os.utime(file, ns=(0, 0))  # so that no byte code of the healthy file fits
        quiet = tests - failing(tree, entry["tests"])
    except RuntimeError as broken:
        return f"proves nothing: {broken}"
    finally:
        file.write_text(text)
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    return f"not noticed by {sorted(quiet)}" if quiet else ""


def copied(source: Path, tree: Path) -> Path:
    """A project tree without what is made; links stay links."""
    left_out = LEFT_OUT if source == ROOT else None
    shutil.copytree(source, tree, symlinks=True, ignore=left_out)
    return tree


def failing(
    tree: Path, tests: Sequence[str], timeout: int = 300, byte_code: bool = False
) -> set[str]:
    """Run the tests in this tree, and name those that fail.

    Without ``byte_code`` none is written: what a patched file was must not stay.
    """
    mine = {"PYTHONPATH": f"{tree}/src", "HYPOTHESIS_PROFILE": "ci"}
    options = ["-P", "-m", "pytest", "-rf", "--tb=no", "-p", "no:cacheprovider"]
    if not byte_code:
        options.insert(0, "-B")
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
