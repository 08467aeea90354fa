"""`pef build`: what it says about what it writes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from pefstack.tools.cli.app import main

Caught = pytest.CaptureFixture[str]
NAMES = ["flash.bin", "seeprom.bin", "measurement-seeprom.bin", "machine.toml"]


def shown(capsys: Caught, *words: str) -> list[str]:
    assert main(["build", *words]) == 0
    output = capsys.readouterr()
    assert output.err == ""
    return output.out.splitlines()


def test_a_line_a_file(tmp_path: Path, capsys: Caught) -> None:
    out = tmp_path / "new" / "out"
    lines = shown(capsys, "small", "-o", str(out))
    expected = []
    for name in NAMES:
        raw = (out / name).read_bytes()
        digest = hashlib.sha256(raw).hexdigest()
        expected.append(f"{digest}  {len(raw):>9}  {out / name}")
    assert lines == expected
    assert sorted(each.name for each in out.iterdir()) == sorted(NAMES)


def test_json_says_the_same(tmp_path: Path, capsys: Caught) -> None:
    lines = shown(capsys, "small", "-o", str(tmp_path), "--json")
    rows = [json.loads(line) for line in lines]
    assert [Path(row["file"]).name for row in rows] == NAMES
    for row in rows:
        raw = Path(row["file"]).read_bytes()
        assert row["size"] == len(raw)
        assert row["sha256"] == hashlib.sha256(raw).hexdigest()


def test_building_again_changes_nothing(tmp_path: Path, capsys: Caught) -> None:
    first = shown(capsys, "small", "-o", str(tmp_path))
    assert shown(capsys, "small", "-o", str(tmp_path)) == first
    changed = shown(
        capsys,
        "small",
        "-o",
        str(tmp_path),
        "--set",
        "image.keys.seed=x",
        "--set",
        "image.keys.file=",
    )
    assert [a == b for a, b in zip(first, changed, strict=True)] == [
        False,
        False,
        True,  # the measurement SEEPROM holds neither keys nor signatures
        False,
    ]


def test_a_dry_run_says_the_same_and_writes_nothing(
    tmp_path: Path, capsys: Caught
) -> None:
    out = tmp_path / "out"
    lines = shown(capsys, "small", "-o", str(out), "--dry-run")
    rows = shown(capsys, "small", "-o", str(out), "--dry-run", "--json")
    assert not out.exists()
    written = shown(capsys, "small", "-o", str(out))
    assert lines == [f"would write {line}" for line in written]
    written = shown(capsys, "small", "-o", str(out), "--json")
    assert [json.loads(row) | {"written": True} for row in rows] == [
        json.loads(row) for row in written
    ]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["none"], "no machine 'none'"),
        (["small", "--set", "image.keys"], "expected KEY=VALUE"),
        (["small", "--set", "image.flash.size=5"], "image.flash.size: found 0x5"),
        (["small", "--set", "machine.chip.pvr=-1"], "machine.chip.pvr: found 0x-1"),
    ],
)
@pytest.mark.parametrize("option", [[], ["--dry-run"]])
def test_wrong_use_is_2_and_writes_nothing(
    words: list[str], problem: str, option: list[str], tmp_path: Path, capsys: Caught
) -> None:
    out = tmp_path / "out"
    assert main(["build", *words, "-o", str(out), *option]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert problem in output.err
    assert not out.exists()


def test_where_nothing_can_be_written(tmp_path: Path, capsys: Caught) -> None:
    (tmp_path / "file").touch()
    assert main(["build", "small", "-o", str(tmp_path / "file" / "out")]) == 2
    assert "Not a directory" in capsys.readouterr().err
