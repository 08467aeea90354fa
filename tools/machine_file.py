"""Machine files: one TOML file over its base, and settings over both."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pefstack.tools.errors import UsageError

BUILT_IN: Final = Path(__file__).parent.parent / "machines"
MAX_BASES: Final = 16
_TOP: Final = ("name", "about", "image", "machine")
# not TOML, not text, a number of 5000 digits; a thousand brackets
_NOT_TOML: Final = (ValueError, RecursionError)

Document = dict[str, Any]


def built_in_machines() -> list[Path]:
    """The machine files that come with the package, by name."""
    return sorted(BUILT_IN.glob("*.toml"), key=lambda path: path.stem)


def find(name_or_file: str) -> Path:
    """The file of a built-in machine, or a path to a file or to a built machine.

    A name wins over a folder that is called the same: that one is ``./NAME``.
    """
    named = {each.stem: each for each in built_in_machines()}
    if name_or_file in named:
        return named[name_or_file]
    path = Path(name_or_file)
    try:
        path = path / "machine.toml" if path.is_dir() else path
        if path.is_file():
            return path
    except OSError as exc:
        raise UsageError(f"{path}: {exc.strerror}") from exc
    if path.suffix == ".toml" or path.parent != Path():
        raise UsageError(f"{path}: no such machine file")
    there = ", ".join(named)
    raise UsageError(f"no machine {name_or_file!r}; there are: {there}")


def load(path: Path, settings: Sequence[str] = ()) -> Document:
    """The file over its base, and ``a.b=c`` settings over both.

    Raises `UsageError` naming the file, and the key where there is one.
    """
    document = _load(path, ())
    for setting in settings:
        document = overlay(document, parse_setting(setting))
    document = {"name": path.stem, "about": ""} | document
    if unknown := sorted(set(document) - set(_TOP)):
        there = ", ".join((*_TOP, "base"))
        raise UsageError(f"{path}: {unknown[0]}: no such key; there are: {there}")
    for key in ("name", "about"):
        if not isinstance(document[key], str):
            raise UsageError(f"{path}: {key}: found {document[key]!r}, expected a text")
    return document


def overlay(below: Mapping[str, Any], above: Mapping[str, Any]) -> Document:
    """Tables are merged; anything else is replaced."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            value = overlay(old, value)
        merged[key] = value
    return merged


def parse_setting(setting: str) -> Document:
    """``a.b=c`` as a table; a bare word is a text."""
    key, equals, value = setting.partition("=")
    if not equals or not key.strip():
        raise UsageError(
            f"--set {setting}: expected KEY=VALUE, as in machine.tpm.seed=x"
        )
    try:
        setting.encode()  # an argument may hold bytes that are no text at all
        try:
            return tomllib.loads(setting)
        except _NOT_TOML:
            quoted = json.dumps(value, ensure_ascii=False)
            return tomllib.loads(f"{key} = {quoted}")
    except _NOT_TOML as exc:
        raise UsageError(f"--set {setting!r}: {exc}") from exc


def _load(path: Path, below: tuple[str, ...]) -> Document:
    real = os.path.realpath(path)
    if real in below or len(below) > MAX_BASES:
        raise UsageError(f"{path}: base: leads back to itself")
    document = _located(_parsed(path), path.parent)
    base = document.pop("base", None)
    if base is None:
        return document
    if not isinstance(base, str) or "\0" in base:
        raise UsageError(f"{path}: base: found {base!r}, expected a file name")
    return overlay(_load(path.parent / base, (*below, real)), document)


def _parsed(path: Path) -> Document:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise UsageError(f"{path}: {exc.strerror}") from exc
    except _NOT_TOML as exc:
        raise UsageError(f"{path}: {exc}") from exc


def _located(table: Document, folder: Path) -> Document:
    """Each ``file`` is relative to the file that says it, also through ``base``."""
    located = {key: _located_value(value, folder) for key, value in table.items()}
    name = located.get("file")
    if name and isinstance(name, str):  # an empty one takes back what a base says
        located["file"] = str(folder / name)
    return located


def _located_value(value: Any, folder: Path) -> Any:
    if isinstance(value, dict):
        return _located(value, folder)
    if isinstance(value, list):
        return [_located_value(each, folder) for each in value]
    return value
