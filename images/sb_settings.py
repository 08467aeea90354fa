"""Secure-boot settings of the two SEEPROMs, `.sb_settings` (boot-chain.md 1.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pefstack.images.codec import U8, U32, Buffer, Layout, octets

NAME: Final = "SB settings"
MEASUREMENT_NAME: Final = "measurement SB settings"
SIGNING_V1: Final = 0
SIGNING_V2: Final = 1
PUBLIC_MEASUREMENT_VERSION: Final = 0x00020013  # of the public build

_BOOT: Final = Layout(
    NAME,
    hw_key_hash=octets(64),
    minimum_secure_version=U8,
    signing_mode=U8,
    reserved=octets(6),
)
_MEASUREMENT: Final = Layout(
    MEASUREMENT_NAME, measurement_version=U32, reserved=octets(4)
)


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
        return cls(**_BOOT.parse_all(raw))

    def to_bytes(self) -> bytes:
        """72 bytes; `FormatError` if a value does not fit into its field."""
        return _BOOT.build(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementSettings:
    """Of the measurement SEEPROM, 8 bytes."""

    measurement_version: int = PUBLIC_MEASUREMENT_VERSION
    reserved: bytes = bytes(4)

    @classmethod
    def from_bytes(cls, raw: Buffer) -> MeasurementSettings:
        """Exactly 8 bytes, else `FormatError`."""
        return cls(**_MEASUREMENT.parse_all(raw))

    def to_bytes(self) -> bytes:
        """8 bytes; `FormatError` if a value does not fit into its field."""
        return _MEASUREMENT.build(self)
