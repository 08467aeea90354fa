"""Build all images of a machine: SEEPROMs, flash, and the fuses that go with them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from pefstack.firmware.profiles import profile_of
from pefstack.hw.guest_spec import GuestImages
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
    """What was built: the three images, and the machine that they are built for.

    ``guest`` and ``tpm_state`` where the description asks for them.
    """

    spec: MachineSpec
    flash: Content
    seeprom: Content
    measurement_seeprom: Content
    guest: GuestImages | None = None
    tpm_state: bytes | None = field(default=None, repr=False)


def build_images(image: ImageSpec, machine: dict[str, Any]) -> BuiltImages:
    """Build from the ``[image]`` value and the ``[machine]`` table.

    Without ``machine.fuses.hw-key-hash`` the fuses hold the hash of the image's keys:
    it is given once, and `.sb_settings` says what the fuses say.
    """
    keys = key_set(image.keys)
    spec = MachineSpec.from_mapping(_with_key_hash(machine, keys))
    built = _firmware(image, spec, keys)
    if image.guest is None and not image.provisioned:
        return built
    return _with_guest(built, image, keys)


def _firmware(image: ImageSpec, spec: MachineSpec, keys: KeySet) -> BuiltImages:
    table = profile_of(spec.measure).table
    fuses: FusesSpec = spec.fuses
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


def _with_guest(built: BuiltImages, image: ImageSpec, keys: KeySet) -> BuiltImages:
    # loaded here: most machines have neither a guest nor a TPM that is prepared
    from pefstack.tools.builders.guest import build_guest
    from pefstack.tools.builders.tpm_state import prepare_tpm

    machine = None
    if image.makes_tpm_state:
        given = image.guest.pcr_value if image.guest else b""
        value = given or _expected_pcr(built, image, keys)
        prepared = prepare_tpm(built.spec, value)
        machine = prepared.provisioned
        built = replace(built, tpm_state=prepared.state)
    if image.guest is None:
        return built
    return replace(built, guest=build_guest(image.guest, machine))


def _expected_pcr(built: BuiltImages, image: ImageSpec, keys: KeySet) -> bytes:
    """What the firmware makes of it as it is meant, which most often is as it is."""
    from pefstack.tools.builders.as_meant import image_as_meant
    from pefstack.tools.builders.tpm_state import expected_pcr

    meant = image_as_meant(image)
    if meant != image:
        built = _firmware(meant, built.spec, keys)
    images = built.flash, built.seeprom, built.measurement_seeprom
    return expected_pcr(built.spec, *map(bytes, images))


def _with_key_hash(machine: dict[str, Any], keys: KeySet) -> dict[str, Any]:
    fuses = machine.get("fuses", {})
    if not isinstance(fuses, dict) or "hw-key-hash" in fuses:
        return machine
    return machine | {"fuses": {"hw-key-hash": keys.hw_key_hash.hex()} | fuses}
