"""The program `pef`: its verbs and exit codes, the same for every verb."""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cli_kit import BOOT, PEF, ROOT, pef, surroundings
from pefstack import BootFailure, FormatError, Refusal, UsageError
from pefstack.tools.cli import app
from pefstack.tools.cli.app import main

VERBS = [
    "boot",
    "build",
    "inspect",
    "verify",
    "edit",
    "predict",
    "explain",
    "diff",
    "esm",
    "tpm",
    "fuzz",
    "fault",
    "cloud",
]
Caught = pytest.CaptureFixture[str]
RUN = "pefstack.tools.cli.verb_boot.run"


def left_with(*words: str) -> int:
    """The exit code of words that `argparse` refuses or answers itself."""
    with pytest.raises(SystemExit) as left:
        main(words)
    assert isinstance(left.value.code, int)
    return left.value.code


def test_the_verbs_and_no_others(capsys: Caught) -> None:
    assert left_with("--help") == 0
    shown = re.findall(r"^    (\w+) +\S", capsys.readouterr().out, re.MULTILINE)
    assert shown == VERBS == list(app.VERBS)


def test_every_built_verb_has_a_module_and_every_module_a_verb() -> None:
    modules = Path(app.__file__).parent.glob("verb_*.py")
    assert {path.stem.removeprefix("verb_") for path in modules} == app.BUILT
    assert set(VERBS) >= app.BUILT


@pytest.mark.parametrize("verb", sorted(app.BUILT))
def test_help_of_a_verb(verb: str, capsys: Caught) -> None:
    assert left_with(verb, "--help") == 0
    shown = capsys.readouterr()
    assert shown.out.startswith(f"usage: pef {verb} ")
    assert app.VERBS[verb] in shown.out
    assert f"\n  pef {verb} " in shown.out  # an example
    assert "--json" in shown.out
    assert shown.err == ""


@pytest.mark.parametrize("verb", [each for each in VERBS if each not in app.BUILT])
def test_a_verb_of_a_later_version(verb: str, capsys: Caught) -> None:
    assert left_with(verb, "something", "--else") == 2
    assert f"{verb} is not in this version" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["bot"],
        ["boot", "a", "b"],
        ["boot", "--no-such"],
        ["boot", "--until", "linux"],
        ["build", "small"],
        ["--json", "boot"],
    ],
)
def test_wrong_use_is_2(words: list[str], capsys: Caught) -> None:
    assert left_with(*words) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("usage: pef")
    assert "error: " in shown.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("say it again"), 2),
        (FormatError("format", "field", 8, "0x1", "0x2"), 3),
        (BootFailure("opal", Refusal.LOG_FULL, "reason", "mend"), 4),
    ],
)
def test_an_error_has_its_exit_code_and_one_line(
    error: Exception, code: int, capsys: Caught, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(options: argparse.Namespace) -> int:
        raise error

    monkeypatch.setattr(RUN, failing)
    assert main(["boot"]) == code
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", f"pef: {error}\n")


@pytest.mark.parametrize("error", [IndexError("hollow"), AssertionError(), KeyError()])
def test_a_defect_of_ours_is_70_with_a_traceback(
    error: Exception, capsys: Caught, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(options: argparse.Namespace) -> int:
        raise error

    monkeypatch.setattr(RUN, failing)
    assert main(["boot"]) == 70
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("Traceback (most recent call last)")
    assert type(error).__name__ in shown.err
    assert shown.err.endswith("this is a defect of pefstack, not yours\n")


@pytest.mark.parametrize("answer", [0, 1])
def test_an_answer_of_yes_or_no_is_passed_on(
    answer: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RUN, lambda options: answer)
    assert main(["boot"]) == answer
    assert (app.YES, app.NO) == (0, 1)


def test_an_interrupt_is_130_in_one_line(
    capsys: Caught, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(options: argparse.Namespace) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(RUN, interrupted)
    assert main(["boot"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_an_error_text_is_cleaned(tmp_path: Path, capsys: Caught) -> None:
    path = tmp_path / "bad.toml"
    path.write_text('"a\\u001b[31m\\u0000" = 1')
    assert main(["boot", str(path)]) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith(f"pef: {path}: a.[31m.: no such key")


@pytest.mark.parametrize("words", [["--help"], ["boot", "small"], ["boot", "--help"]])
def test_a_closed_pipe_leaves_no_word(words: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)  # gone before the first line
    done = subprocess.run(
        [*PEF, *words],
        stdout=writer,
        stderr=subprocess.PIPE,
        env=surroundings(),
        timeout=60,
        check=False,
    )
    os.close(writer)
    assert done.stderr == b""
    assert done.returncode in ({0, 141} if "--help" in words else {141})


def test_head_gets_its_line() -> None:
    line = f"'{sys.executable}' '{BOOT}' small | head -1"
    done = subprocess.run(
        ["sh", "-c", line],
        env=surroundings(),
        text=True,
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "small: profile patent, security on, PEF on\n"
    assert done.stderr == ""


WAITING = """
import sys, time
from pefstack.tools.cli import verb_boot
from pefstack.tools.cli.app import main
def run(options):
    print("ready", flush=True)
    time.sleep(60)
verb_boot.run = run
sys.exit(main(["boot"]))
"""


def test_ctrl_c_leaves_no_traceback() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", WAITING],
        env=surroundings(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=60)
    assert (child.returncode, errors) == (130, "interrupted\n")


@pytest.mark.parametrize(
    ("cwd", "script"),
    [
        (ROOT, "tools/boot.py"),
        (ROOT / "tools", "boot.py"),
        (ROOT / "tools", "./boot.py"),
        (ROOT / "docs" / "..", "tools/../tools/boot.py"),
        (Path("/"), BOOT),
    ],
)
def test_boot_from_wherever_one_stands(cwd: Path, script: str) -> None:
    """Without the project installed, the tree around the script is what runs."""
    if not cwd.is_dir():
        cwd = ROOT
    done = subprocess.run(
        [sys.executable, script, "small", "--until", "sbe_immutable"],
        cwd=cwd,
        env=surroundings(PYTHONPATH=None),
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("small: profile patent")


def test_boot_from_a_folder_with_names_like_ours(tmp_path: Path) -> None:
    for name in ("images", "hw", "firmware", "tools"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise ImportError('not ours')")
    (tmp_path / "demo").mkdir()
    done = pef("boot", "small", "--quiet", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_verb_loads_only_what_it_needs() -> None:
    code = (
        "import sys; from pefstack.tools.cli.app import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: print([n for n in sys.modules if '.verb_' in n or"
        " n.startswith(('pefstack.hw', 'pefstack.images', 'cryptography'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=surroundings(),
        text=True,
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"
