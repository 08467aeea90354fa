"""A secondary chip as a machine file describes it: what differs from the primary."""

from __future__ import annotations

from dataclasses import dataclass

from pefstack.hw.flip import FlipSpec
from pefstack.hw.fuses import HW_KEY_HASH_SIZE
from pefstack.hw.mapping import SettingError


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondaryChipSpec:
    """A processor chip beside the primary; what is not said here is as on the primary.

    ``smd`` is its own jumper. ``hw_key_hash`` is what its fuses hold, empty for the
    machine's. ``flip`` damages its own boot SEEPROM, a copy of the primary's. A
    ``silent`` chip runs, but nobody can read its registers from outside: a fault.
    """

    smd: bool | None = None
    hw_key_hash: bytes = b""
    flip: tuple[FlipSpec, ...] = ()
    silent: bool = False

    def __post_init__(self) -> None:
        if len(self.hw_key_hash) not in (0, HW_KEY_HASH_SIZE):
            found = f"found {len(self.hw_key_hash)} bytes"
            raise SettingError("hw-key-hash", f"{found}, expected 64")
