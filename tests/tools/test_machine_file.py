"""Machine files: base, settings, located paths, and every complaint about them."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pefstack.tools.errors import UsageError
from pefstack.tools.machine_file import (
    BUILT_IN,
    built_in_machines,
    find,
    load,
    overlay,
    parse_setting,
)

KEYS = st.sampled_from(["a", "b", "c"])
DOCUMENTS = st.recursive(
    st.dictionaries(KEYS, st.integers(), max_size=3),
    lambda inner: st.dictionaries(KEYS, inner | st.integers(), max_size=3),
    max_leaves=6,
)


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@given(DOCUMENTS, DOCUMENTS)
def test_overlay_merges_tables_and_replaces_the_rest(
    below: dict[str, Any], above: dict[str, Any]
) -> None:
    before = copy.deepcopy((below, above))
    merged = overlay(below, above)
    assert (below, above) == before
    assert set(merged) == set(below) | set(above)
    for key in merged:
        old, new = below.get(key), above.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            assert merged[key] == overlay(old, new)
        else:
            assert merged[key] == (above[key] if key in above else below[key])


@given(DOCUMENTS)
def test_overlay_of_nothing_changes_nothing(document: dict[str, Any]) -> None:
    assert overlay(document, {}) == overlay({}, document) == document
    assert overlay(document, document) == document


@pytest.mark.parametrize(
    ("setting", "table"),
    [
        ("machine.chip.smd=true", {"machine": {"chip": {"smd": True}}}),
        ("a.b=0x10", {"a": {"b": 16}}),
        ("a=second", {"a": "second"}),
        ('a="5"', {"a": "5"}),
        ("a=", {"a": ""}),
        ("a=b=c", {"a": "b=c"}),
        ("a=[", {"a": "["}),
        ('a={ x = "y" }', {"a": {"x": "y"}}),
        ('a."b c"=d', {"a": {"b c": "d"}}),
        ('a=\U0001f600 \\ "', {"a": '\U0001f600 \\ "'}),
        pytest.param(f"a={'1' * 5000}", {"a": "1" * 5000}, id="5000 digits"),
    ],
)
def test_a_setting_as_a_table(setting: str, table: dict[str, Any]) -> None:
    assert parse_setting(setting) == table


@pytest.mark.parametrize(
    "setting", ["machine.chip.smd", "", "=true", " =1", "a..b=1", "a b=1", "a=\udcff"]
)
def test_what_is_no_setting_is_named(setting: str) -> None:
    with pytest.raises(UsageError, match="--set ") as wrong:
        parse_setting(setting)
    assert repr(setting).strip("'") in str(wrong.value)


def test_a_file_over_its_base_and_settings_over_both(tmp_path: Path) -> None:
    written(tmp_path, "low.toml", "name='low'\n[machine.chip]\nsmd=true\npvr=1")
    written(tmp_path, "mid.toml", "base='low.toml'\nname='mid'\nmachine.chip.pvr=2")
    top = written(tmp_path, "top.toml", "base='mid.toml'\nabout='top'")
    assert load(top, ["machine.chip.pvr=3", "machine.tpm.seed=x"]) == {
        "name": "mid",
        "about": "top",
        "machine": {"chip": {"smd": True, "pvr": 3}, "tpm": {"seed": "x"}},
    }


def test_a_file_without_a_name_is_called_after_itself(tmp_path: Path) -> None:
    document = load(written(tmp_path, "plain.toml", ""))
    assert document == {"name": "plain", "about": ""}


def test_files_are_relative_to_the_file_that_says_them(tmp_path: Path) -> None:
    written(
        tmp_path,
        "deep/base.toml",
        "[image.a]\nfile='a.bin'\n[image.b]\nfile='b.bin'\n"
        "[[image.list]]\nfile='c.bin'\n",
    )
    path = written(
        tmp_path, "top.toml", "base='deep/base.toml'\n[image.b]\nfile='sub/b.bin'"
    )
    image = load(path)["image"]
    assert image["a"]["file"] == str(tmp_path / "deep" / "a.bin")
    assert image["b"]["file"] == str(tmp_path / "sub" / "b.bin")
    assert image["list"][0]["file"] == str(tmp_path / "deep" / "c.bin")


def test_an_absolute_file_and_an_empty_one_stay(tmp_path: Path) -> None:
    text = "[image.a]\nfile='/x/a.bin'\n[image.b]\nfile=''\n[image.file]\nsize=1"
    image = load(written(tmp_path, "top.toml", text))["image"]
    assert image == {"a": {"file": "/x/a.bin"}, "b": {"file": ""}, "file": {"size": 1}}


@pytest.mark.parametrize("base", ["self.toml", "./self.toml", "../x/self.toml"])
def test_a_base_that_leads_back_to_itself(tmp_path: Path, base: str) -> None:
    path = written(tmp_path, "x/self.toml", f"base='{base}'")
    with pytest.raises(UsageError, match=r"self\.toml: base: leads back to itself"):
        load(path)


def test_a_ring_of_bases(tmp_path: Path) -> None:
    for name, base in (("a", "b"), ("b", "c"), ("c", "a")):
        written(tmp_path, f"{name}.toml", f"base='{base}.toml'")
    with pytest.raises(UsageError, match=r"a\.toml: base: leads back to itself"):
        load(tmp_path / "a.toml")


def test_a_ring_through_a_link(tmp_path: Path) -> None:
    path = written(tmp_path, "a.toml", "base='b.toml'")
    (tmp_path / "b.toml").symlink_to("a.toml")
    with pytest.raises(UsageError, match="base: leads back to itself"):
        load(path)


BAD_FILES = [
    ("colour = 1", "colour: no such key; there are: name, about, image, machine, base"),
    ("name = 5", "name: found 5, expected a text"),
    ("about = ['x']", "about: found ['x'], expected a text"),
    ("base = 5", "base: found 5, expected a file name"),
    ('base = "a\\u0000b"', "base: found 'a\\x00b', expected a file name"),
    ("base = 'none.toml'", "none.toml: No such file or directory"),
    ("base = '.'", "Is a directory"),
    ("a = [", "Invalid value"),
    ("a = 1\na = 2", "Cannot overwrite a value"),
    (f"a = {'1' * 5000}", "Exceeds the limit"),
    ("a = " + "[" * 20000, "recursion"),
]


@pytest.mark.parametrize(("text", "problem"), BAD_FILES, ids=lambda text: text[:9])
def test_a_bad_file_is_named_with_its_key(
    tmp_path: Path, text: str, problem: str
) -> None:
    path = written(tmp_path, "bad.toml", text)
    with pytest.raises(UsageError) as wrong:
        load(path)
    assert str(wrong.value).startswith(str(tmp_path))
    assert problem in str(wrong.value)


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(b"name = '\xff'")
    with pytest.raises(UsageError, match=r"bad\.toml: 'utf-8' codec"):
        load(path)


def test_an_unknown_key_through_a_setting_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, "x.toml", "")
    with pytest.raises(UsageError, match=r"x\.toml: colour: no such key"):
        load(path, ["colour=red"])


def test_find_knows_names_files_and_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find("small") == BUILT_IN / "small.toml"
    mine = written(tmp_path, "mine.toml", "")
    plain = written(tmp_path, "plain", "")
    built = written(tmp_path, "out/machine.toml", "")
    assert find("mine.toml") == Path("mine.toml")
    assert find(str(mine)) == mine
    assert find("plain") == Path(plain.name)
    assert find("out") == Path("out/machine.toml")
    assert find(f"{built.parent}{os.sep}") == built


def test_a_name_wins_over_a_folder_called_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()
    written(tmp_path, "small/machine.toml", "")
    assert find("demo") == BUILT_IN / "demo.toml"
    assert find("small") == BUILT_IN / "small.toml"
    assert find("./small") == Path("small/machine.toml")


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("none", "no machine 'none'; there are: backup-tpm, demo, firmware, go-on"),
        ("none.toml", "none.toml: no such machine file"),
        ("x/none", "x/none: no such machine file"),
        ("", "machine.toml: no such machine file"),
        pytest.param("a" * 300, "File name too long", id="300 letters"),
    ],
)
def test_what_is_no_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, problem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as wrong:
        find(name)
    assert problem in str(wrong.value)


@pytest.mark.parametrize("path", built_in_machines(), ids=lambda path: path.stem)
def test_a_built_in_machine_is_named_like_its_file(path: Path) -> None:
    assert load(path)["name"] == path.stem
