"""A built machine as a folder: the same bytes everywhere, and it boots."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import pytest

from cli_kit import pef, surroundings
from pefstack import Machine, UsageError
from pefstack.tools.built import IMAGES, MACHINE_FILE, build_folder, open_built
from pefstack.tools.files import write_bytes
from pefstack.tools.machine_file import BUILT_IN, find, load

SMALL = BUILT_IN / "small.toml"
NAMES = [*IMAGES.values(), MACHINE_FILE]


def build(folder: Path, *settings: str) -> Path:
    written = build_folder(SMALL, load(SMALL, settings), folder)
    assert [each.name for each in written] == NAMES
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in folder.iterdir()}


def test_two_builds_in_two_worlds_give_the_same_bytes(tmp_path: Path) -> None:
    worlds = [
        {"PYTHONHASHSEED": "1", "TZ": "UTC", "SOURCE_DATE_EPOCH": "0"},
        {"PYTHONHASHSEED": "99", "TZ": "Asia/Tokyo", "LC_ALL": "C", "HOME": "/"},
    ]
    for number, world in enumerate(worlds):
        folder = tmp_path / f"{number}" / ("deep" * number)
        done = pef("build", "small", "-o", str(folder), env=surroundings(**world))
        assert (done.returncode, done.stderr) == (0, "")
    first, second = contents(tmp_path / "0"), contents(tmp_path / "1" / "deep")
    assert sorted(first) == sorted(NAMES)
    assert first == second == contents(build(tmp_path / "here"))


def test_no_built_file_holds_a_path(tmp_path: Path) -> None:
    for name, raw in contents(build(tmp_path / "out")).items():
        for place in (tmp_path, BUILT_IN, Path(sys.prefix)):
            assert str(place).encode() not in raw, name


def test_a_built_folder_boots_like_the_machine_by_name(
    tmp_path: Path, booted: Machine
) -> None:
    machine = Machine(build(tmp_path / "out")).run()
    assert list(machine.journal) == list(booted.journal)
    assert machine.pcrs() == booted.pcrs()
    assert machine.event_log == booted.event_log
    assert (machine.name, machine.about) == (booted.name, booted.about)


def test_a_built_folder_can_be_moved_and_takes_machine_settings(tmp_path: Path) -> None:
    build(tmp_path / "out").rename(tmp_path / "moved")
    settings = ["machine.chip.pef-enable=false"]
    machine = Machine(tmp_path / "moved", settings=settings).run()
    by_name = Machine("pef-off").run()
    assert machine.pcr(6) == by_name.pcr(6)


def test_the_machine_file_holds_every_setting(tmp_path: Path) -> None:
    folder = build(tmp_path / "out", "machine.chip.smd=true", "machine.tpm.seed=x")
    document = tomllib.loads((folder / MACHINE_FILE).read_text())
    assert document["machine"]["chip"] == {"smd": True}
    assert document["machine"]["tpm"] == {"seed": "x"}
    assert document["machine"]["flash"] == {"file": "flash.bin"}
    assert document["about"].strip().startswith("All stages on a 1 MiB flash")
    opened = open_built(folder, load(find(str(folder))))
    assert opened.spec.chip.smd


@pytest.mark.parametrize("failing", NAMES)
def test_a_failing_write_leaves_no_half_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    whole = contents(build(tmp_path / "whole"))

    def torn(path: Path, content: bytes | str) -> None:
        if path.name == failing:
            raise UsageError(f"{path}: No space left on device")
        write_bytes(path, content)

    monkeypatch.setattr("pefstack.tools.built.write_bytes", torn)
    with pytest.raises(UsageError, match="No space left"):
        build(tmp_path / "out")
    left = contents(tmp_path / "out")
    assert MACHINE_FILE not in left  # so nothing opens it
    assert left == {name: whole[name] for name in left}
    with pytest.raises(UsageError, match="no such machine file"):
        Machine(tmp_path / "out")


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in ("file", "file/deep"):
        with pytest.raises(UsageError, match=str(tmp_path / "file")):
            build(tmp_path / name)


def test_nothing_to_build(tmp_path: Path) -> None:
    folder = build(tmp_path / "out")
    path = find(str(folder))
    with pytest.raises(UsageError, match=r"machine\.toml: no \[image\] table"):
        build_folder(path, load(path), tmp_path / "again")


@pytest.mark.parametrize("table", ["", "flash = 5", "flash = {}", "flash.file = 5"])
def test_a_machine_file_that_names_no_image(tmp_path: Path, table: str) -> None:
    path = tmp_path / "x.toml"
    path.write_text(f"[machine]\n{table}")
    with pytest.raises(UsageError) as wrong:
        Machine(path)
    expected = f'{path}: machine.flash: expected {{ file = "..." }}'
    assert str(wrong.value) == expected


def test_an_image_that_is_not_there_is_named(tmp_path: Path) -> None:
    folder = build(tmp_path / "out")
    (folder / "seeprom.bin").unlink()
    with pytest.raises(UsageError, match=r"out/seeprom\.bin: No such file"):
        Machine(folder)


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("machine.chip.pvr=-1", "machine.chip.pvr: found 0x-1"),
        ("machine.measure.profile=p9000", "machine.measure.profile: no profile"),
        ("machine.color=1", "machine.color: no such setting"),
    ],
)
def test_a_wrong_setting_over_a_built_machine(
    tmp_path: Path, setting: str, problem: str
) -> None:
    path = find(str(build(tmp_path / "out")))
    with pytest.raises(UsageError) as wrong:
        Machine(path, settings=[setting])
    assert str(wrong.value).startswith(f"{path}: {problem}")
