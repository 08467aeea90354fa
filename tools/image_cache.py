"""Built images are kept, so that a machine is built once. Images only: no verdict of a
verification is ever kept, and what comes from here is verified at each boot."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from pefstack.tools.built import (
    IMAGES,
    MACHINE_FILE,
    BuiltMachine,
    build_folder,
    machine_table,
    open_built,
)
from pefstack.tools.errors import UsageError
from pefstack.tools.files import read_bytes
from pefstack.tools.machine_file import Document, load, overlay

KEPT_FOR_EACH_NAME: Final = 3
_PACKAGE: Final = Path(__file__).parent.parent
_BUILDS: Final = ("images", "tools/builders", "hw/mapping.py", "hw/machine.py")


def open_machine(path: Path, document: Document) -> BuiltMachine:
    """The machine of a file: its images are built once for each description."""
    if "image" not in document:
        return open_built(path, document)
    folder = cache_folder() / f"{document['name']}-{_key(path, document)}"
    if not (folder / MACHINE_FILE).is_file():
        _build(path, document, folder)
    built = load(folder / MACHINE_FILE)
    kept = {key: built["machine"][key] for key in ("fuses", *IMAGES)}
    machine = overlay({"machine": kept}, {"machine": machine_table(path, document)})
    return open_built(path, document | machine)


def cache_folder() -> Path:
    """``$PEFSTACK_CACHE``, else ``pefstack`` in the user's cache folder."""
    if chosen := os.environ.get("PEFSTACK_CACHE"):
        return Path(chosen)
    users = os.environ.get("XDG_CACHE_HOME")
    return (Path(users) if users else Path.home() / ".cache") / "pefstack"


def _build(path: Path, document: Document, folder: Path) -> None:
    """Build beside the place, then move as a whole; a second builder does no harm."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".building-", dir=folder.parent))
    except OSError as exc:
        raise UsageError(
            f"{folder.parent}: {exc.strerror}; set PEFSTACK_CACHE to another folder"
        ) from exc
    try:
        build_folder(path, document, temporary)
        if not folder.exists():
            temporary.rename(folder)
        _forget_old(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _forget_old(folder: Path) -> None:
    name = folder.name.rpartition("-")[0]
    same = [each for each in folder.parent.iterdir() if _name_of(each) == name]
    same.sort(key=lambda each: each.stat().st_mtime_ns, reverse=True)
    for old in same[KEPT_FOR_EACH_NAME:]:
        shutil.rmtree(old, ignore_errors=True)


def _name_of(folder: Path) -> str:
    return folder.name.rpartition("-")[0]


def _key(path: Path, document: Document) -> str:
    """What images follow from: description, fuses, profile, input files, our code."""
    machine = machine_table(path, document)
    parts = {
        "image": document["image"],
        "fuses": machine.get("fuses"),
        "measure": machine.get("measure"),
        "files": {name: _digest(Path(name)) for name in _files(document["image"])},
        "code": [_digest(each) for each in _code()],
    }
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _files(table: Any) -> Iterator[str]:
    if isinstance(table, dict):
        for key, value in table.items():
            if key == "file" and isinstance(value, str):
                yield value
            else:
                yield from _files(value)
    elif isinstance(table, list):
        for each in table:
            yield from _files(each)


def _digest(path: Path) -> str:
    if path.is_dir():
        return "".join(_digest(each) for each in sorted(path.iterdir()))
    return hashlib.sha256(read_bytes(path)).hexdigest()


def _code() -> list[Path]:
    found: list[Path] = []
    for name in _BUILDS:
        place = _PACKAGE / name
        found += sorted(place.glob("*.py")) if place.is_dir() else [place]
    return found
