"""A SEEPROM image: header, sections, settings, the two container headers."""

from __future__ import annotations

from collections.abc import Iterator

from pefstack.images.codec import Buffer
from pefstack.images.errors import FormatError
from pefstack.images.sb_settings import MeasurementSettings, SbSettings
from pefstack.images.xip import SECTION_NAMES, XipImage
from pefstack.tools.inspection.container import summary
from pefstack.tools.inspection.region import Region, rest


def seeprom_regions(raw: Buffer) -> Iterator[Region]:
    """Every section by its place; `FormatError` if the image is broken."""
    image = XipImage.from_bytes(raw)
    placed = sorted(
        (section.offset, section.size, name)
        for name, section in zip(SECTION_NAMES, image.header.sections, strict=False)
        if section.size
    )
    at = 0
    for offset, size, name in placed:
        yield from rest(raw, at, offset)
        value = _value(name, bytes(raw[offset : offset + size]))
        yield Region(offset=offset, size=size, name=name, value=value)
        at = max(at, offset + size)
    yield from rest(raw, at, len(raw))


def _value(name: str, section: bytes) -> str:
    try:
        if name.startswith(".sbh_"):
            return summary(section)
        return _settings(section) if name == ".sb_settings" else ""
    except FormatError as broken:
        return f"broken: {broken}"


def _settings(section: bytes) -> str:
    try:
        found = SbSettings.from_bytes(section)
    except FormatError:
        version = MeasurementSettings.from_bytes(section).measurement_version
        return f"measurement version 0x{version:08x}"
    return (
        f"hw_key_hash {found.hw_key_hash.hex()}, minimum secure version "
        f"{found.minimum_secure_version}, signing mode {found.signing_mode}"
    )
