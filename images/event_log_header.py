"""TPM event log, record 0: what it is and which banks it has (boot-chain.md 4.1)."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pefstack.images.codec import Buffer
from pefstack.images.errors import FormatError

NAME: Final = "event log"
SIGNATURE: Final = b"Spec ID Event03\0"
PLATFORM_SERVER: Final = 1
MAX_ALGORITHM_COUNT: Final = 16
MAX_DIGEST_SIZE: Final = 64
EV_NO_ACTION: Final = 0x3

SHA1: Final = 0x0004
SHA256: Final = 0x000B
SHA384: Final = 0x000C
SHA512: Final = 0x000D
HASH_NAMES: Final = {SHA1: "sha1", SHA256: "sha256", SHA384: "sha384", SHA512: "sha512"}
DIGEST_SIZES: Final[Mapping[int, int]] = {SHA1: 20, SHA256: 32, SHA384: 48, SHA512: 64}

_FIRST: Final = struct.Struct("<II20sI")  # TCG_PCR_EVENT, up to the event
_SPEC_ID: Final = struct.Struct("<16sI4BI")
_ALGORITHM: Final = struct.Struct("<HH")
_EVENT_SIZE_OFFSET: Final = 28
_COUNT_OFFSET: Final = 56


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecIdHeader:
    """Record 0; ``algorithms`` has (algorithm id, digest size) of every bank."""

    algorithms: tuple[tuple[int, int], ...]
    platform_class: int = PLATFORM_SERVER
    spec_version_minor: int = 0
    spec_version_major: int = 2
    spec_errata: int = 2
    uintn_size: int = 1  # 32-bit
    vendor_info: bytes = b"IBM\0"

    @classmethod
    def from_prefix(cls, raw: Buffer) -> tuple[SpecIdHeader, int]:
        """The header at the start of a log, and its size.

        Raises `FormatError` for another kind of record or signature, for a list of
        algorithms that is empty, too long, double or of impossible digest sizes, and
        for an event size that differs from what all this takes.
        """
        event_size = _check_first(raw)
        at = _FIRST.size
        signature, *numbers, count = fields_at(_SPEC_ID, "spec id", raw, at)
        if signature != SIGNATURE:
            raise FormatError(NAME, "signature", at, repr(signature), repr(SIGNATURE))
        algorithms = _algorithms(raw, at + _SPEC_ID.size, count)
        at += _SPEC_ID.size + count * _ALGORITHM.size
        vendor_info = _vendor_info(raw, at)
        size = at + 1 + len(vendor_info)
        if event_size != size - _FIRST.size:
            right = f"0x{size - _FIRST.size:x}"
            raise FormatError(
                NAME, "event_size", _EVENT_SIZE_OFFSET, f"0x{event_size:x}", right
            )
        return _header(algorithms, numbers, vendor_info), size

    def to_bytes(self) -> bytes:
        """Record 0: 69 bytes with one bank, 73 with two.

        Raises `FormatError` if a value does not fit into its field.
        """
        spec_id = pack(
            _SPEC_ID,
            SIGNATURE,
            self.platform_class,
            self.spec_version_minor,
            self.spec_version_major,
            self.spec_errata,
            self.uintn_size,
            len(self.algorithms),
        )
        table = b"".join(pack(_ALGORITHM, *each) for each in self.algorithms)
        vendor_size = pack(struct.Struct("B"), len(self.vendor_info))
        event = spec_id + table + vendor_size + self.vendor_info
        return pack(_FIRST, 0, EV_NO_ACTION, b"", len(event)) + event

    @property
    def digest_sizes(self) -> dict[int, int]:
        """Algorithm id to digest size."""
        return dict(self.algorithms)


def _header(
    algorithms: tuple[tuple[int, int], ...], numbers: list[int], vendor_info: bytes
) -> SpecIdHeader:
    platform_class, minor, major, errata, uintn_size = numbers
    return SpecIdHeader(
        algorithms=algorithms,
        platform_class=platform_class,
        spec_version_minor=minor,
        spec_version_major=major,
        spec_errata=errata,
        uintn_size=uintn_size,
        vendor_info=vendor_info,
    )


def fields_at(
    layout: struct.Struct, field: str, raw: Buffer, at: int
) -> tuple[Any, ...]:
    """The fields of this layout at an offset; `FormatError` if ``raw`` ends before."""
    if at + layout.size > len(raw):
        found = f"0x{max(len(raw) - at, 0):x} bytes"
        raise FormatError(NAME, field, at, found, f"0x{layout.size:x} bytes")
    return layout.unpack_from(raw, at)


def pack(layout: struct.Struct, *values: Any) -> bytes:
    """The bytes of these values; `FormatError` if one does not fit into its field."""
    try:
        return layout.pack(*values)
    except struct.error as exc:
        raise FormatError(NAME, "value", 0, str(exc), "values that fit") from None


def _check_first(raw: Buffer) -> int:
    """The size of the event, which is not compared with anything here."""
    pcr_index, event_type, digest, event_size = fields_at(_FIRST, "header", raw, 0)
    if pcr_index != 0:
        raise FormatError(NAME, "pcr_index", 0, f"0x{pcr_index:x}", "0x0")
    if event_type != EV_NO_ACTION:
        raise FormatError(NAME, "event_type", 4, f"0x{event_type:x}", "0x3")
    if any(digest):
        raise FormatError(NAME, "digest", 8, digest.hex(), "20 zero bytes")
    size: int = event_size
    return size


def _algorithms(raw: Buffer, at: int, count: int) -> tuple[tuple[int, int], ...]:
    if not 0 < count <= MAX_ALGORITHM_COUNT:
        limit = f"0x1 to 0x{MAX_ALGORITHM_COUNT:x}"
        raise FormatError(
            NAME, "number_of_algorithms", _COUNT_OFFSET, f"0x{count:x}", limit
        )
    found: dict[int, int] = {}
    for place in range(at, at + count * _ALGORITHM.size, _ALGORITHM.size):
        algorithm, size = fields_at(_ALGORITHM, "algorithm", raw, place)
        if algorithm in found:
            raise FormatError(
                NAME, "algorithm", place, f"0x{algorithm:04x} again", "once"
            )
        if not 0 < size <= MAX_DIGEST_SIZE or size != DIGEST_SIZES.get(algorithm, size):
            right = f"that of algorithm 0x{algorithm:04x}"
            raise FormatError(NAME, "digest_size", place + 2, f"0x{size:x}", right)
        found[algorithm] = size
    return tuple(found.items())


def _vendor_info(raw: Buffer, at: int) -> bytes:
    (size,) = fields_at(struct.Struct("B"), "vendor_info_size", raw, at)
    (info,) = fields_at(struct.Struct(f"{size}s"), "vendor_info", raw, at + 1)
    return bytes(info)
