"""The 20 KiB of HBBL in a POWER9 SEEPROM: code, ROM code, key hash (boot-chain.md 3.1).

Layout: HBBL, zero-padded to 8; the size of the ROM code in 8 bytes; the ROM code;
zeros; in the last 64 bytes the hash of the hardware keys. Where HBBL ends is not
written down.
"""

from __future__ import annotations

from typing import Final

from pefstack.images.codec import Buffer
from pefstack.images.errors import FormatError

NAME: Final = "HBBL area"
AREA_SIZE: Final = 0x5000
KEY_HASH_OFFSET: Final = 0x4FC0


def build_area(hbbl: bytes, rom_code: bytes, hw_key_hash: bytes) -> bytes:
    """The whole area; `FormatError` if the parts do not fit into it."""
    head = hbbl + bytes(-len(hbbl) % 8) + len(rom_code).to_bytes(8, "big") + rom_code
    room = f"at most 0x{KEY_HASH_OFFSET:x} bytes"
    if len(head) > KEY_HASH_OFFSET:
        raise FormatError(NAME, "code", 0, f"0x{len(head):x} bytes", room)
    if len(hw_key_hash) != AREA_SIZE - KEY_HASH_OFFSET:
        found = f"0x{len(hw_key_hash):x} bytes"
        raise FormatError(NAME, "hw_key_hash", KEY_HASH_OFFSET, found, "0x40 bytes")
    return head.ljust(KEY_HASH_OFFSET, b"\0") + hw_key_hash


def with_key_hash(area: Buffer, hw_key_hash: bytes) -> bytes:
    """The area with another hash at its end; `FormatError` for another size."""
    old = hw_key_hash_of(area)
    if len(hw_key_hash) != len(old):
        found = f"0x{len(hw_key_hash):x} bytes"
        raise FormatError(NAME, "hw_key_hash", KEY_HASH_OFFSET, found, "0x40 bytes")
    return bytes(area[:KEY_HASH_OFFSET]) + hw_key_hash


def hw_key_hash_of(area: Buffer) -> bytes:
    """The 64 bytes at the end; `FormatError` if the area has another size."""
    if len(area) != AREA_SIZE:
        found = f"0x{len(area):x} bytes"
        raise FormatError(NAME, "area", 0, found, f"0x{AREA_SIZE:x} bytes")
    return bytes(area[KEY_HASH_OFFSET:])
