"""Build all images of a machine: SEEPROMs, flash, and the fuses that go with them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pefstack.firmware.profiles import profile_of
from pefstack.hw.machine import FusesSpec, MachineSpec
from pefstack.images.signing import KeySet
from pefstack.tools.builders.content import key_set
from pefstack.tools.builders.flash import build_flash
from pefstack.tools.builders.seeprom import (
    build_measurement_seeprom,
    build_sbe_image,
    build_seeprom,
)
from pefstack.tools.builders.spec import ImageSpec

Content = bytes | bytearray


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltImages:
    """What was built: the three images, and the machine that they are built for."""

    spec: MachineSpec
    flash: Content
    seeprom: Content
    measurement_seeprom: Content


def build_images(image: ImageSpec, machine: dict[str, Any]) -> BuiltImages:
    """Build from the ``[image]`` value and the ``[machine]`` table.

    Without ``machine.fuses.hw-key-hash`` the fuses hold the hash of the image's keys:
    it is given once, and `.sb_settings` says what the fuses say.
    """
    keys = key_set(image.keys)
    spec = MachineSpec.from_mapping(_with_key_hash(machine, keys))
    fuses: FusesSpec = spec.fuses
    table = profile_of(spec.measure).table
    return BuiltImages(
        spec=spec,
        flash=build_flash(
            image.flash,
            keys,
            table,
            lambda each: build_sbe_image(image.seeprom, each, keys, table),
        ),
        seeprom=build_seeprom(image.seeprom, keys, fuses, table),
        measurement_seeprom=build_measurement_seeprom(image.measurement),
    )


def _with_key_hash(machine: dict[str, Any], keys: KeySet) -> dict[str, Any]:
    fuses = machine.get("fuses", {})
    if not isinstance(fuses, dict) or "hw-key-hash" in fuses:
        return machine
    return machine | {"fuses": {"hw-key-hash": keys.hw_key_hash.hex()} | fuses}
