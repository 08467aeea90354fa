"""Every machine's boot, as text, against its transcript in tests/golden.

PEFSTACK_REWRITE_GOLDEN=1 in the environment writes the transcripts anew.
"""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

import pytest

from cli_kit import ROOT
from pefstack.tools.cli.app import main
from pefstack.tools.machine_file import built_in_machines

GOLDEN = ROOT / "tests" / "golden"
MACHINES = built_in_machines()
each_machine = pytest.mark.parametrize("path", MACHINES, ids=lambda path: path.stem)


@each_machine
def test_a_boot_reads_as_it_did(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["boot", path.stem])
    text, errors = capsys.readouterr()
    transcript = f"$ pef boot {path.stem}\n{text}exit code {code}\n"
    assert errors == ""
    golden = GOLDEN / f"{path.stem}.txt"
    if os.environ.get("PEFSTACK_REWRITE_GOLDEN") == "1":
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(transcript, encoding="utf-8")
    assert transcript.splitlines() == golden.read_text(encoding="utf-8").splitlines()


@each_machine
def test_a_machine_has_a_paragraph_and_a_transcript(path: Path) -> None:
    about = tomllib.loads(path.read_text(encoding="utf-8"))["about"]
    assert about.strip().endswith(".")
    assert len(about.split()) >= 10
    assert (GOLDEN / f"{path.stem}.txt").is_file()


def test_every_transcript_has_a_machine() -> None:
    there = {path.stem for path in GOLDEN.iterdir()}
    assert there == {path.stem for path in MACHINES}


@each_machine
def test_a_transcript_holds_no_path_and_ends_as_it_says(path: Path) -> None:
    text = (GOLDEN / f"{path.stem}.txt").read_text(encoding="utf-8")
    assert re.search(r"(^|[\s='\"(])/\w", text, re.MULTILINE) is None
    assert str(ROOT) not in text
    code = re.findall(r"^exit code (\d+)$", text, re.MULTILINE)
    refused = re.search(r"^\w+ refused: ", text, re.MULTILINE)
    assert code == (["4"] if refused else ["0"])
