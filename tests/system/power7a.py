"""Figure 7A computed a third time: PCR values from image bytes and settings alone.

Shares no code with the project: offsets are written out from the byte-level notes, and
only hashlib does any work.
"""

from __future__ import annotations

import hashlib
import struct

SEPARATOR = hashlib.sha256(b"\xff\xff\xff\xff").digest()
SECTIONS = (
    "header",
    "fixed",
    "fixed_toc",
    "toc",
    "strings",
    "loader_text",
    "pibrepr_data",
    "text",
    "data",
    "base",
    "baseloader",
    "rings",
    "overrides",
    "hbbl",
    "fa_ec_cl2_far",
    "fa_ec_mma_far",
    "fa_ring_ovrd",
    "ringidfeatlist",
    "hdct",
    "sbh_firmware",
    "sbh_hbbl",
    "sb_settings",
    "sb_verification",
)


def xip_section(seeprom: bytes, name: str) -> bytes:
    """A section of the SEEPROM by its number in the table at offset 64."""
    at = 64 + 12 * SECTIONS.index(name)
    offset, size = struct.unpack_from(">II", seeprom, at)
    return seeprom[offset : offset + size]


def section_place(seeprom: bytes, name: str) -> int:
    """Where a section lies in the SEEPROM."""
    place: int = struct.unpack_from(">I", seeprom, 64 + 12 * SECTIONS.index(name))[0]
    return place


def padded_to_8(raw: bytes) -> bytes:
    """Zero-padded, as the SBE hashes a section."""
    while len(raw) % 8:
        raw += b"\0"
    return raw


def record(raw: bytes) -> bytes:
    """What one extend takes: 32 bytes, cut or zero-padded."""
    return (raw + bytes(32))[:32]


def chain(*digests: bytes) -> bytes:
    """A PCR of the SHA-256 bank after these extends, from zeros."""
    value = bytes(32)
    for digest in digests:
        value = hashlib.sha256(value + digest).digest()
    return value


def pcr6(
    hw_key_hash: bytes,
    sb_verification: bytes,
    *,
    smd: bool = False,
    pef: bool = True,
) -> bytes:
    """The five extends of figure 7A."""
    return chain(
        record(hw_key_hash),
        record(bytes([smd])),
        record(hashlib.sha512(padded_to_8(sb_verification)).digest()),
        SEPARATOR,
        record(bytes([pef])),
    )


def key_hash_in(container: bytes) -> bytes:
    """SHA-512 of the three hardware keys of a container header."""
    return hashlib.sha512(container[30:426]).digest()
