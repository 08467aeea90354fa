"""A built machine as a folder: its images and a machine file that names them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pefstack.firmware.profiles import profile_of
from pefstack.hw.guest_spec import GuestImages
from pefstack.hw.machine import MachineSpec
from pefstack.hw.mapping import SettingError
from pefstack.tools.errors import UsageError
from pefstack.tools.files import make_folder, map_bytes, write_bytes, write_durably
from pefstack.tools.machine_file import Document, overlay

if TYPE_CHECKING:
    from pefstack.tools.builders.machine import BuiltImages

# key of the [machine] table -> file name in the folder
IMAGES: Final = {
    "flash": "flash.bin",
    "seeprom": "seeprom.bin",
    "measurement-seeprom": "measurement-seeprom.bin",
}
# what not every machine has
FURTHER_IMAGES: Final = {
    "guest-kernel": "guest-kernel.bin",
    "guest-initrd": "guest-initrd.bin",
    "tpm-state": "tpm.state",
}
MACHINE_FILE: Final = "machine.toml"
_OWNERS_ALONE: Final = ("tpm.state",)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltMachine:
    """A machine that can be switched on: what it is, and the bytes it starts from.

    ``tpm_state`` is what its TPM kept without power, as `Tpm.save_state` gives it.
    """

    name: str
    about: str
    spec: MachineSpec
    flash: bytes | memoryview
    seeprom: bytes
    measurement_seeprom: bytes
    guest: GuestImages | None = None
    tpm_state: bytes | None = field(default=None, repr=False)


def build_folder(path: Path, document: Document, folder: Path) -> list[Path]:
    """Build a machine's images into a folder, each atomically; the files written."""
    return write_folder(built_files(path, document), folder)


def write_folder(files: Mapping[str, bytes | bytearray], folder: Path) -> list[Path]:
    """Write files into a folder, which is made where there is none."""
    make_folder(folder)
    for name, raw in files.items():
        if name in _OWNERS_ALONE:
            write_durably(folder / name, bytes(raw))
        else:
            write_bytes(folder / name, raw)
    return [folder / name for name in files]


def built_files(path: Path, document: Document) -> dict[str, bytes | bytearray]:
    """Every file of a built machine by name; the last one makes it complete."""
    machine = dict(machine_table(path, document))
    given = {key: machine.pop(key) for key in FURTHER_IMAGES if key in machine}
    built = _built(path, document, machine)
    contents = (built.flash, built.seeprom, built.measurement_seeprom)
    further = _further(built)
    for key, table in given.items():
        further[key] = bytes(_some_image(path, {key: table}, key) or b"")
    there = {key: raw for key, raw in further.items() if raw}
    files: dict[str, bytes | bytearray] = dict(
        zip(IMAGES.values(), contents, strict=True)
    )
    files |= {FURTHER_IMAGES[key]: raw for key, raw in there.items()}
    text = _described(document, built, [*IMAGES, *there])
    return files | {MACHINE_FILE: text.encode()}


def open_built(path: Path, document: Document) -> BuiltMachine:
    """The machine whose ``[machine]`` table names its three images."""
    machine = dict(machine_table(path, document))
    images = {key: _image(path, machine.pop(key, None), key) for key in IMAGES}
    further = {key: _some_image(path, machine, key) for key in FURTHER_IMAGES}
    if further["guest-kernel"] is not None:
        machine.setdefault("guest", {})
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
        guest=_guest(further["guest-kernel"], further["guest-initrd"]),
        tpm_state=_tpm_state(further["tpm-state"]),
    )


def _built(path: Path, document: Document, machine: Document) -> BuiltImages:
    # loaded here: booting a machine that is already built needs none of it
    from pefstack.tools.builders.machine import build_images
    from pefstack.tools.builders.spec import ImageSpec

    if "image" not in document:
        raise UsageError(f"{path}: no [image] table, so there is nothing to build")
    try:
        image = ImageSpec.from_mapping(document["image"])
        return build_images(image, machine)
    except SettingError as wrong:
        raise UsageError(f"{path}: {wrong}") from wrong


def _described(document: Document, built: BuiltImages, keys: list[str]) -> str:
    """The machine file: the same machine, with images instead of their description."""
    import tomli_w

    names = IMAGES | FURTHER_IMAGES
    images = {key: {"file": names[key]} for key in keys}
    machine = built.spec.to_mapping() | images
    top = {"name": document["name"], "about": document["about"]}
    return tomli_w.dumps(top | {"machine": machine})


def _further(built: BuiltImages) -> dict[str, bytes]:
    """What this machine has of `FURTHER_IMAGES`, by key."""
    found: dict[str, bytes] = {}
    if built.guest is not None:
        found["guest-kernel"] = bytes(built.guest.kernel)
        found["guest-initrd"] = bytes(built.guest.initrd)
    if built.tpm_state is not None:
        from pefstack.tools.tpm_server.state_file import packed

        found["tpm-state"] = packed(built.tpm_state)
    return found


def _guest(kernel: memoryview | None, initrd: memoryview | None) -> GuestImages | None:
    if kernel is None:
        return None
    return GuestImages(kernel=kernel, initrd=initrd or b"")


def _tpm_state(raw: memoryview | None) -> bytes | None:
    if raw is None:
        return None
    from pefstack.tools.tpm_server.state_file import unpacked

    return unpacked(bytes(raw))


def _some_image(path: Path, machine: dict[str, Any], key: str) -> memoryview | None:
    """None where there is no such key, or an empty file that takes it back."""
    table = machine.pop(key, None)
    if table is None or table == {"file": ""}:
        return None
    return _image(path, table, key)


def _image(path: Path, table: Any, key: str) -> memoryview:
    if not isinstance(table, dict) or not isinstance(table.get("file"), str):
        raise UsageError(f'{path}: machine.{key}: expected {{ file = "..." }}')
    return map_bytes(Path(table["file"]))


def machine_table(path: Path, document: Document) -> dict[str, Any]:
    """The ``[machine]`` table; empty where there is none.

    The command line of a guest that is built is the one that was measured, unless the
    machine says another.
    """
    machine = document.get("machine", {})
    if not isinstance(machine, dict):
        raise UsageError(f"{path}: machine: found {machine!r}, expected a table")
    image = document.get("image", {})
    guest = image.get("guest") if isinstance(image, dict) else None
    if not isinstance(guest, dict):
        return machine
    line = {"command-line": guest["append"]} if "append" in guest else {}
    return overlay({"guest": line}, machine)
