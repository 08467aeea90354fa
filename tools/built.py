"""A built machine as a folder: three images and a machine file that names them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pefstack.firmware.profiles import profile_of
from pefstack.hw.machine import MachineSpec
from pefstack.hw.mapping import SettingError
from pefstack.tools.errors import UsageError
from pefstack.tools.files import make_folder, map_bytes, write_bytes
from pefstack.tools.machine_file import Document

if TYPE_CHECKING:
    from pefstack.tools.builders.machine import BuiltImages

# key of the [machine] table -> file name in the folder
IMAGES: Final = {
    "flash": "flash.bin",
    "seeprom": "seeprom.bin",
    "measurement-seeprom": "measurement-seeprom.bin",
}
MACHINE_FILE: Final = "machine.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltMachine:
    """A machine that can be switched on: what it is, and the bytes it starts from."""

    name: str
    about: str
    spec: MachineSpec
    flash: bytes | memoryview
    seeprom: bytes
    measurement_seeprom: bytes


def build_folder(path: Path, document: Document, folder: Path) -> list[Path]:
    """Build a machine's images into a folder, each atomically; the files written."""
    return write_folder(built_files(path, document), folder)


def write_folder(files: Mapping[str, bytes | bytearray], folder: Path) -> list[Path]:
    """Write files into a folder, which is made where there is none."""
    make_folder(folder)
    for name, raw in files.items():
        write_bytes(folder / name, raw)
    return [folder / name for name in files]


def built_files(path: Path, document: Document) -> dict[str, bytes | bytearray]:
    """Every file of a built machine by name; the last one makes it complete."""
    built = _built(path, document)
    contents = (built.flash, built.seeprom, built.measurement_seeprom)
    files = dict(zip(IMAGES.values(), contents, strict=True))
    return files | {MACHINE_FILE: _described(document, built).encode()}


def open_built(path: Path, document: Document) -> BuiltMachine:
    """The machine whose ``[machine]`` table names its three images."""
    machine = dict(machine_table(path, document))
    images = {key: _image(path, machine.pop(key, None), key) for key in IMAGES}
    try:
        spec = MachineSpec.from_mapping(machine)
        profile_of(spec.measure)
    except SettingError as wrong:
        raise UsageError(f"{path}: {wrong}") from wrong
    return BuiltMachine(
        name=document["name"],
        about=document["about"].strip(),
        spec=spec,
        flash=images["flash"],
        seeprom=bytes(images["seeprom"]),
        measurement_seeprom=bytes(images["measurement-seeprom"]),
    )


def _built(path: Path, document: Document) -> BuiltImages:
    # loaded here: booting a machine that is already built needs none of it
    from pefstack.tools.builders.machine import build_images
    from pefstack.tools.builders.spec import ImageSpec

    if "image" not in document:
        raise UsageError(f"{path}: no [image] table, so there is nothing to build")
    try:
        image = ImageSpec.from_mapping(document["image"])
        return build_images(image, machine_table(path, document))
    except SettingError as wrong:
        raise UsageError(f"{path}: {wrong}") from wrong


def _described(document: Document, built: BuiltImages) -> str:
    """The machine file: the same machine, with images instead of their description."""
    import tomli_w

    images = {key: {"file": name} for key, name in IMAGES.items()}
    machine = built.spec.to_mapping() | images
    top = {"name": document["name"], "about": document["about"]}
    return tomli_w.dumps(top | {"machine": machine})


def _image(path: Path, table: Any, key: str) -> memoryview:
    if not isinstance(table, dict) or not isinstance(table.get("file"), str):
        raise UsageError(f'{path}: machine.{key}: expected {{ file = "..." }}')
    return map_bytes(Path(table["file"]))


def machine_table(path: Path, document: Document) -> dict[str, Any]:
    """The ``[machine]`` table; empty where there is none."""
    machine = document.get("machine", {})
    if not isinstance(machine, dict):
        raise UsageError(f"{path}: machine: found {machine!r}, expected a table")
    return machine
