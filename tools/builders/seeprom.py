"""Build the two SEEPROMs: immutable code, and the mutable boot loader with settings."""

from __future__ import annotations

from dataclasses import replace

from pefstack.hw.machine import FusesSpec
from pefstack.images.sb_settings import MeasurementSettings, SbSettings
from pefstack.images.sbe_payload import padded, patent_sbe_fw
from pefstack.images.signing import KeySet
from pefstack.images.xip_build import build_image
from pefstack.tools.builders.container import signed_header
from pefstack.tools.builders.content import content, flipped
from pefstack.tools.builders.spec import MeasurementSpec, SectionSpec, SeepromSpec


def build_seeprom(
    spec: SeepromSpec, keys: KeySet, fuses: FusesSpec, loader_is_signed: bool
) -> bytes:
    """The boot SEEPROM with the fuses' settings, signed for one profile.

    ``loader_is_signed``: SBE_FW covers the verification code too.
    """
    base = content(spec.base.content, "base")
    verification = content(spec.sb_verification.content, "sb_verification")
    hbbl = content(spec.hbbl.content, "hbbl")
    firmware = patent_sbe_fw(base, verification) if loader_is_signed else padded(base)
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
