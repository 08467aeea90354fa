"""Take each defence away, alone and in a copy: the tests named for it must fail.

`python tests/sabotage.py` runs every entry of sabotage.toml, `… ID` those whose id
begins so, `--list FILE` those of another list. An entry is good when its tests pass
before the patch, the patch hits one place, and every one of its tests fails after it.

Pytest and the libraries are loaded once; each run of tests is a fork of that process,
which has nothing of the project loaded and sees one tree only.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import re
import shutil
import signal
import sys
import tempfile
import tomllib
import traceback
from collections.abc import Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import IO, Any, Final, NoReturn

ROOT: Final = Path(__file__).resolve().parent.parent
LIST: Final = Path(__file__).with_name("sabotage.toml")
MAX_LINES: Final = 3
_BROKEN: Final = 70
TIMEOUT: Final = 300  # seconds for the tests of one entry
LEFT_OUT: Final = shutil.ignore_patterns(
    ".git", ".venv", ".*_cache", ".hypothesis", "__pycache__", "build", "dist"
)
_LIBRARIES: Final = (
    "pytest",
    "hypothesis.strategies",
    "cryptography.hazmat.primitives.asymmetric.ec",
    "cryptography.hazmat.primitives.serialization",
    *(f"_pytest.{each}" for each in ("faulthandler", "helpconfig", "junitxml")),
    *(f"_pytest.{each}" for each in ("skipping", "unittest", "warnings")),
    "_hypothesis_pytestplugin",
)
Entry = dict[str, Any]


def main(words: Sequence[str]) -> int:
    """Run the entries; 0 if every defence has its witnesses."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("id", nargs="?", default="", help="the beginning of an id")
    parser.add_argument("--list", type=Path, default=LIST, metavar="FILE")
    options = parser.parse_args(words)
    chosen = [e for e in entries(options.list) if e["id"].startswith(options.id)]
    if not chosen:
        print(f"no entry begins with {options.id}")
        return 2
    return report(chosen, judged(chosen))


def entries(path: Path = LIST) -> list[Entry]:
    """Every entry of a list, as it stands."""
    found: list[Entry] = tomllib.loads(path.read_text())["sabotage"]
    return found


def report(chosen: Sequence[Entry], complaints: dict[str, str]) -> int:
    """Print what is wrong, and the count; 0 if nothing is."""
    bad = [entry for entry in chosen if complaints[entry["id"]]]
    for entry in bad:
        print(f"FAILED {entry['id']} ({entry['defends']}): {complaints[entry['id']]}")
    print(f"sabotage: {len(chosen) - len(bad)} passed, {len(bad)} failed")
    return 1 if bad else 0


def judged(chosen: Sequence[Entry]) -> dict[str, str]:
    """What is wrong with each entry, by id; every worker has a tree of its own."""
    for name in _LIBRARIES:
        importlib.import_module(name)
    workers = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as folder:
        warm = Path(folder, "warm")
        shutil.copytree(ROOT, warm, symlinks=True, ignore=LEFT_OUT)
        with ProcessPoolExecutor(workers, mp_context=get_context("fork")) as pool:
            red = healthy_failures(warm, chosen, pool, workers)
            shares = [
                pool.submit(judge, warm, number, chosen[number::workers], red)
                for number in range(workers)
            ]
            return {
                name: text for each in shares for name, text in each.result().items()
            }


def healthy_failures(
    warm: Path, chosen: Sequence[Entry], pool: Executor, workers: int
) -> set[str]:
    """The named tests that fail without any sabotage: they would prove nothing.

    A file's tests stay together. They leave their byte code in this tree, which makes
    its copies start faster.
    """
    names = sorted({test for entry in chosen for test in entry["tests"]})
    files = sorted({name.partition("::")[0] for name in names})
    shares = (
        [name for name in names if name.partition("::")[0] in files[number::workers]]
        for number in range(workers)
    )
    jobs = [
        pool.submit(failing, warm, share, timeout=6 * TIMEOUT, byte_code=True)
        for share in shares
        if share
    ]
    return {name for job in jobs for name in job.result()}


def judge(
    warm: Path, number: int, share: Sequence[Entry], red: set[str]
) -> dict[str, str]:
    """One worker's share, one entry after the other in its own copy of the tree."""
    tree = warm.with_name(f"tree{number}")
    shutil.copytree(warm, tree, symlinks=True)
    return {entry["id"]: complaint(entry, red, tree) for entry in share}


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


def failing(
    tree: Path, tests: Sequence[str], timeout: int = TIMEOUT, byte_code: bool = False
) -> set[str]:
    """Run the tests in this tree, in a fork, and name those that fail.

    Without ``byte_code`` none is written: what a patched file was must not stay.
    """
    with tempfile.TemporaryFile("w+") as output:
        process = os.fork()
        if process == 0:
            _in_fork(tree, tests, timeout, byte_code, output)
        _, status = os.waitpid(process, 0)
        output.seek(0)
        text = output.read()
    if os.waitstatus_to_exitcode(status) not in (0, 1):
        raise RuntimeError(text[-2000:])  # not collected, not imported, too slow
    return set(re.findall(r"^FAILED ([^\s\[]+)", text, re.MULTILINE))


def _in_fork(
    tree: Path, tests: Sequence[str], timeout: int, byte_code: bool, output: IO[str]
) -> NoReturn:
    """The fork ends here, whatever happens: nothing of its parent may be unwound."""
    code = _BROKEN
    try:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
        code = _run_tests(tree, tests, timeout, byte_code)
        sys.stdout.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _run_tests(tree: Path, tests: Sequence[str], timeout: int, byte_code: bool) -> int:
    """This tree is the project, and there is no other."""
    os.chdir(tree)
    os.environ |= {"PYTHONPATH": f"{tree}/src", "HYPOTHESIS_PROFILE": "ci"}
    if not byte_code:
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        sys.dont_write_bytecode = True
    ours = (str(ROOT / "src"), str(ROOT / "tests"), "")
    sys.path[:] = [place for place in sys.path if place not in ours]
    importlib.invalidate_caches()
    gc.freeze()  # the parent's garbage is no warning of these tests
    signal.alarm(timeout)
    pytest = importlib.import_module("pytest")
    options = ["-rf", "--tb=no", "-p", "no:cacheprovider", "--rootdir", str(tree)]
    options += ["--assert=plain"]  # nobody reads why; comparing megabytes takes long
    options += ["-p", "no:unraisableexception"]  # tests that break leave things open
    options += ["-W", "ignore"]  # of libraries that were loaded before
    options += ["-p", "no:xdist"]  # each of these runs is one process
    return int(pytest.main([*options, *tests]))


def _lines(text: str) -> int:
    return text.strip("\n").count("\n") + 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
