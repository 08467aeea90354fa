"""Built images are kept, so that a machine is built once. Images only: no verdict of a
verification is ever kept, and what comes from here is verified at each boot."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any, Final

from pefstack.tools.built import (
    FURTHER_IMAGES,
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
_WITH_TPM: Final = ("guest", "provisioned")
_TPM_KEYS: Final = {
    "tpm": ("seed", "banks", "allocated", "required"),
    "pef": ("provision", "nv-index"),
    "chip": ("pvr", "node-id"),
}
_BUILDS_GUESTS: Final = (
    "firmware/**/*.py",
    "hw/**/*.py",
    "tools/operands/*.py",
    "tools/esm_place.py",
    "tools/esm_sealing.py",
    "tools/guest_parts.py",
)
_BUILDS: Final = (
    "images/*.py",
    "tools/builders/*.py",
    "tools/built.py",
    "firmware/profile*.py",
    "hw/flip.py",
    "hw/mapping.py",
    "hw/machine.py",
)


def open_machine(path: Path, document: Document) -> BuiltMachine:
    """The machine of a file: its images are built once for each description."""
    if "image" not in document:
        return open_built(path, document)
    folder = cache_folder() / f"{_word(document['name'])}-{_key(path, document)}"
    built = _whole(folder)
    if built is None:
        _build(path, document, folder)
        built = load(folder / MACHINE_FILE)
    there = [key for key in FURTHER_IMAGES if key in built["machine"]]
    kept = {key: built["machine"][key] for key in ("fuses", *IMAGES, *there)}
    machine = overlay({"machine": kept}, {"machine": machine_table(path, document)})
    return open_built(path, document | machine)


def cache_folder() -> Path:
    """``$PEFSTACK_CACHE``, else ``pefstack`` in the user's cache folder."""
    if chosen := os.environ.get("PEFSTACK_CACHE"):
        return Path(chosen)
    if users := os.environ.get("XDG_CACHE_HOME"):
        return Path(users) / "pefstack"
    try:
        return Path.home() / ".cache" / "pefstack"
    except RuntimeError as exc:  # a user without a home
        raise UsageError(f"{exc}; set PEFSTACK_CACHE to a folder") from exc


def _build(path: Path, document: Document, folder: Path) -> None:
    """Build beside the place, then move as a whole; a second builder does no harm."""
    from tempfile import mkdtemp  # a machine is built once

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(mkdtemp(prefix=".building-", dir=folder.parent))
    except OSError as exc:
        raise _unusable(folder, exc) from exc
    try:
        build_folder(path, _as_built(document), temporary)
        _put(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _forget_old(folder)


def _as_built(document: Document) -> Document:
    """Without files of the machine that only one start has, and the key has not."""
    machine = document.get("machine")
    if not isinstance(machine, dict):
        return document
    kept = {key: each for key, each in machine.items() if key not in FURTHER_IMAGES}
    return document | {"machine": kept}


def _put(temporary: Path, folder: Path) -> None:
    """Whoever comes second leaves what is there; what is not whole is replaced."""
    try:
        if folder.exists() and not _complete(folder):
            shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    except OSError as exc:
        if not _complete(folder):
            raise _unusable(folder, exc) from exc


def _complete(folder: Path) -> bool:
    return _whole(folder) is not None


def _whole(folder: Path) -> Document | None:
    """The machine file of a folder, if every file is there that it names."""
    if not (folder / MACHINE_FILE).is_file():
        return None
    built = load(folder / MACHINE_FILE)
    images = [built["machine"].get(key) for key in (*IMAGES, *FURTHER_IMAGES)]
    files = [Path(each["file"]) for each in images if each]
    return built if all(each.is_file() for each in files) else None


def _unusable(folder: Path, exc: OSError) -> UsageError:
    reason = f"{exc.strerror}; set PEFSTACK_CACHE to another folder"
    return UsageError(f"{folder.parent}: {reason}")


def _forget_old(folder: Path) -> None:
    same = [
        each for each in folder.parent.iterdir() if _name_of(each) == _name_of(folder)
    ]
    same.sort(key=_built_at, reverse=True)
    for old in same[KEPT_FOR_EACH_NAME:]:
        shutil.rmtree(old, ignore_errors=True)


def _built_at(folder: Path) -> int:
    try:
        return folder.stat().st_mtime_ns
    except OSError:  # another process has just forgotten it
        return 0


def _name_of(folder: Path) -> str:
    return folder.name.rpartition("-")[0]


def _word(name: str) -> str:
    """A machine's name as a part of a file name."""
    return re.sub(r"[^A-Za-z0-9_]+", "_", name)[:32]


def _key(path: Path, document: Document) -> str:
    """What images follow from: description, fuses, profile, input files, our code.

    A file counts by its content, wherever it lies.
    """
    machine = machine_table(path, document)
    parts = {
        "image": _by_content(document["image"]),
        "fuses": machine.get("fuses"),
        "measure": machine.get("measure"),
        "code": [_digest(each) for each in _code(_BUILDS)],
    }
    if set(_WITH_TPM) & set(document["image"]):
        parts |= _of_the_tpm(machine)
        parts["further code"] = [_digest(each) for each in _code(_BUILDS_GUESTS)]
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _of_the_tpm(machine: Document) -> Document:
    """What of a machine its keys and the PCR to seal to follow from: no fault of it."""
    found: Document = {}
    for name, keys in _TPM_KEYS.items():
        table = machine.get(name, {})
        found[name] = table
        if isinstance(table, dict):
            found[name] = {key: table.get(key) for key in keys}
    return found


def _by_content(value: Any) -> Any:
    """The description with the digest of each file in the place of its name."""
    if isinstance(value, list):
        return [_by_content(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _digest(Path(each)) if _is_file(key, each) else _by_content(each)
        for key, each in value.items()
    }


def _is_file(key: str, value: object) -> bool:
    return key == "file" and isinstance(value, str) and value != ""


def _digest(path: Path) -> str:
    if path.is_dir():
        return "".join(f"{each.name} {_digest(each)} " for each in _listed(path))
    return hashlib.sha256(read_bytes(path)).hexdigest()


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as exc:
        raise UsageError(f"{folder}: {exc.strerror}") from exc


def _code(names: tuple[str, ...]) -> list[Path]:
    """Our own files that decide what an image is."""
    return [path for name in names for path in sorted(_PACKAGE.glob(name))]
