"""Secure-boot settings of the two SEEPROMs, `.sb_settings` (boot-chain.md 1.4)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final

from construct import Bytes, Construct, Int8ub, Int32ub, Struct

from pefstack.images.codec import Buffer, build_bytes, parse_all

NAME: Final = "SB settings"
MEASUREMENT_NAME: Final = "measurement SB settings"
SIGNING_V1: Final = 0
SIGNING_V2: Final = 1
PUBLIC_MEASUREMENT_VERSION: Final = 0x00020013  # of the public build

_BOOT: Final = Struct(
    "hw_key_hash" / Bytes(64),
    "minimum_secure_version" / Int8ub,
    "signing_mode" / Int8ub,
    "reserved" / Bytes(6),
)
_MEASUREMENT: Final = Struct("measurement_version" / Int32ub, "reserved" / Bytes(4))


@dataclass(frozen=True, slots=True, kw_only=True)
class SbSettings:
    """Of the boot SEEPROM, 72 bytes; ``hw_key_hash`` is the SHA-512 of three keys."""

    hw_key_hash: bytes
    minimum_secure_version: int = 0
    signing_mode: int = SIGNING_V1
    reserved: bytes = bytes(6)

    @classmethod
    def from_bytes(cls, raw: Buffer) -> SbSettings:
        """Exactly 72 bytes, else `FormatError`."""
        return cls(**parse_all(NAME, _BOOT, raw))

    def to_bytes(self) -> bytes:
        """72 bytes; `FormatError` if a value does not fit into its field."""
        return _build(NAME, _BOOT, self)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementSettings:
    """Of the measurement SEEPROM, 8 bytes."""

    measurement_version: int = PUBLIC_MEASUREMENT_VERSION
    reserved: bytes = bytes(4)

    @classmethod
    def from_bytes(cls, raw: Buffer) -> MeasurementSettings:
        """Exactly 8 bytes, else `FormatError`."""
        return cls(**parse_all(MEASUREMENT_NAME, _MEASUREMENT, raw))

    def to_bytes(self) -> bytes:
        """8 bytes; `FormatError` if a value does not fit into its field."""
        return _build(MEASUREMENT_NAME, _MEASUREMENT, self)


def _build(name: str, layout: Construct[Any, Any], value: Any) -> bytes:
    values = {each.name: getattr(value, each.name) for each in fields(value)}
    return build_bytes(name, layout, values)
