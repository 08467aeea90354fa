"""Look into the 4096-byte header of a container that nobody has verified yet."""

from __future__ import annotations

import hashlib
from typing import Final

from pefstack.images.codec import Buffer
from pefstack.images.container import (
    HEADER_SIZE,
    HW_KEYS_OFFSET,
    MAGIC,
    PART_SIZE,
    PREFIX_OFFSET,
    SW_KEYS_OFFSET,
)
from pefstack.images.p521 import KEY_SIZE

_SW_KEY_COUNT_OFFSET: Final = 450
_SW_KEYS_HASH_OFFSET: Final = 459
_FLAGS_OFFSET: Final = 20  # in the software header
_PAYLOAD_SIZE_OFFSET: Final = 25
_PAYLOAD_HASH_OFFSET: Final = 33
_SECURITY_VERSION_OFFSET: Final = 24
_HW_FLAGS_OFFSET: Final = PREFIX_OFFSET + 20
_MAGIC: Final = MAGIC.to_bytes(4, "big")


def announced_payload_size(header: Buffer) -> int | None:
    """The protected size that an untrusted 4096-byte header announces.

    None where the number of software keys is none that a verifier takes, so that the
    place of the software header is unknown.
    """
    if not 1 <= header[_SW_KEY_COUNT_OFFSET] <= 3:
        return None
    at = _software_offset(header) + _PAYLOAD_SIZE_OFFSET
    return int.from_bytes(header[at : at + 8], "big")


def begins_like_container(raw: Buffer) -> bool:
    """Whether the magic is there; nothing else is looked at."""
    return bytes(raw[:4]) == _MAGIC


def hw_keys_hash_of(header: Buffer) -> bytes:
    """SHA-512 of the three hardware keys that a header brings along."""
    return hashlib.sha512(header[HW_KEYS_OFFSET:PREFIX_OFFSET]).digest()


def hw_flags_of(header: Buffer) -> int:
    """The hardware flags of an untrusted 4096-byte header."""
    return int.from_bytes(header[_HW_FLAGS_OFFSET : _HW_FLAGS_OFFSET + 4], "big")


def security_version_of(header: Buffer) -> int:
    """The security version that an untrusted 4096-byte header announces."""
    return header[_software_offset(header) + _SECURITY_VERSION_OFFSET]


def payload_hash_of(header: Buffer) -> bytes:
    """The 64-byte payload hash of an untrusted 4096-byte header, whatever it says."""
    at = _software_offset(header) + _PAYLOAD_HASH_OFFSET
    return bytes(header[at : at + 64])


def with_payload_hash(header: Buffer, digest: bytes) -> bytes:
    """The same header with another hash where `payload_hash_of` reads it (1.5)."""
    at = _software_offset(header) + _PAYLOAD_HASH_OFFSET
    return bytes(header[:at]) + digest + bytes(header[at + len(digest) :])


def _software_offset(header: Buffer) -> int:
    """Where the software header is; with a number of keys nobody takes, as with one."""
    count = header[_SW_KEY_COUNT_OFFSET]
    return SW_KEYS_OFFSET + KEY_SIZE * (count if 1 <= count <= 3 else 1)


def sw_keys_hash_of(header: Buffer) -> bytes:
    """The hash of the software keys that an untrusted 4096-byte header announces."""
    return bytes(header[_SW_KEYS_HASH_OFFSET : _SW_KEYS_HASH_OFFSET + 64])


def sw_signatures_of(header: Buffer) -> bytes:
    """The software signatures where the announced number of keys puts them."""
    size = KEY_SIZE * header[_SW_KEY_COUNT_OFFSET]
    at = SW_KEYS_OFFSET + size + PART_SIZE
    return bytes(header[at : at + size])


def sw_flags_of(header: Buffer) -> int:
    """The flags that an untrusted 4096-byte header announces for its software."""
    at = _software_offset(header) + _FLAGS_OFFSET
    return int.from_bytes(header[at : at + 4], "big")


def unprotected_size(header: Buffer) -> int:
    """How much an untrusted header says to follow its protected payload.

    The container size that this rests on is not signed; 0 where it makes no sense.
    """
    protected = announced_payload_size(header)
    if protected is None:
        return 0
    whole = int.from_bytes(header[6:14], "big")
    return max(0, whole - HEADER_SIZE - protected)
