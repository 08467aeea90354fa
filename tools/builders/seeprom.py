"""Build the two SEEPROMs: immutable code, and the mutable boot loader with settings."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from pefstack.firmware.profile_row import ProfileTable
from pefstack.hw.flip import flipped
from pefstack.hw.fuses import HW_KEY_HASH_SIZE
from pefstack.hw.machine import FusesSpec
from pefstack.images.hbbl_area import build_area
from pefstack.images.sb_settings import MeasurementSettings, SbSettings
from pefstack.images.sbe_payload import padded, patent_sbe_fw
from pefstack.images.signing import KeySet
from pefstack.images.xip_build import build_image
from pefstack.tools.builders.container import signed_header
from pefstack.tools.builders.content import content, key_set
from pefstack.tools.builders.content_spec import ContentSpec
from pefstack.tools.builders.spec import (
    MeasurementSpec,
    SbeImageSpec,
    SectionSpec,
    SeepromSpec,
)

ROM_CODE_SIZE: Final = 0x1000


def build_seeprom(
    spec: SeepromSpec, keys: KeySet, fuses: FusesSpec, table: ProfileTable
) -> bytes:
    """The boot SEEPROM of a machine with these fuses, for one profile."""
    if not table.sbe_measures:
        return _power9(spec, fuses)
    base = content(spec.base.content, "base")
    verification = content(spec.sb_verification.content, "sb_verification")
    hbbl = content(spec.hbbl.content, "hbbl")
    signed = table.loader_is_signed
    firmware = patent_sbe_fw(base, verification) if signed else padded(base)
    settings = SbSettings(
        hw_key_hash=fuses.hw_key_hash,
        minimum_secure_version=fuses.minimum_secure_version,
        signing_mode=fuses.signing_mode,
    )
    return build_image(
        {
            ".base": flipped(base, spec.base.flip, "base"),
            ".hbbl": flipped(hbbl, spec.hbbl.flip, "hbbl"),
            ".sbh_firmware": _header(spec.base, firmware, keys, "SBE_FW"),
            ".sbh_hbbl": _header(spec.hbbl, padded(hbbl), keys, "HBBL"),
            ".sb_settings": settings.to_bytes(),
            ".sb_verification": flipped(
                verification, spec.sb_verification.flip, "sb_verification"
            ),
        }
    ).to_bytes()


def build_sbe_image(
    spec: SeepromSpec, wanted: SbeImageSpec, keys: KeySet, table: ProfileTable
) -> bytes:
    """An SBE image for the flash: this SEEPROM of another build, settings blank."""
    sections = {
        name: _of_another_build(getattr(spec, name), wanted)
        for name in ("base", "sb_verification", "hbbl")
    }
    signing = keys if wanted.keys is None else key_set(wanted.keys)
    blank = FusesSpec(hw_key_hash=bytes(HW_KEY_HASH_SIZE))
    return build_seeprom(SeepromSpec(**sections), signing, blank, table)


def _of_another_build(section: SectionSpec, wanted: SbeImageSpec) -> SectionSpec:
    code = section.content
    if code.fill:
        code = replace(code, seed=wanted.seed)
    version = wanted.security_version
    container = replace(section.container, security_version=version)
    return SectionSpec(content=code, container=container)


def _power9(spec: SeepromSpec, fuses: FusesSpec) -> bytes:
    """Nothing is signed; ROM code and key hash lie in the HBBL area."""
    base = content(spec.base.content, "base")
    hbbl = content(spec.hbbl.content, "hbbl")
    rom_code = content(ContentSpec(fill=ROM_CODE_SIZE), "rom")
    area = build_area(hbbl, rom_code, fuses.hw_key_hash)
    return build_image(
        {
            ".base": flipped(base, spec.base.flip, "base"),
            ".hbbl": flipped(area, spec.hbbl.flip, "hbbl"),
        }
    ).to_bytes()


def build_measurement_seeprom(spec: MeasurementSpec) -> bytes:
    """The measurement SEEPROM: the immutable code and its version."""
    code = content(spec.code, "measurement")
    settings = MeasurementSettings(
        measurement_version=int.from_bytes(spec.version, "big")
    )
    sections = {".loader_text": code, ".sb_settings": settings.to_bytes()}
    return build_image(sections).to_bytes()


def _header(section: SectionSpec, payload: bytes, keys: KeySet, label: str) -> bytes:
    container = section.container
    container = replace(container, label=container.label or label)
    return signed_header(payload, container, keys, label)
