"""The fuses: what the machine holds to be true, whatever its SEEPROM says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

HW_KEY_HASH_SIZE: Final = 64  # SHA-512


@dataclass(frozen=True, slots=True, kw_only=True)
class Fuses:
    """The write-locked copy of `.sb_settings` (boot-chain.md 1.4, project decision).

    ``hw_key_hash`` is 64 bytes, the other two are one byte's worth.
    """

    hw_key_hash: bytes
    minimum_secure_version: int = 0
    signing_mode: int = 0
