"""TPM event log, TCG crypto-agile, little-endian: the records (boot-chain.md 4.1)."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pefstack.images.codec import Buffer
from pefstack.images.errors import FormatError
from pefstack.images.event_log_header import NAME, SpecIdHeader, fields_at, pack

PCR_COUNT: Final = 24
MAX_EVENT_SIZE: Final = 8192  # of POWER10
BUFFER_SIZE: Final = 0x10000  # of the log when it is handed over
HOSTBOOT_BUFFER_SIZE: Final = 7168

EV_PREBOOT_CERT: Final = 0x0
EV_POST_CODE: Final = 0x1
EV_SEPARATOR: Final = 0x4
EV_ACTION: Final = 0x5
EV_EVENT_TAG: Final = 0x6
EV_S_CRTM_CONTENTS: Final = 0x7
EV_S_CRTM_VERSION: Final = 0x8
EV_CPU_MICROCODE: Final = 0x9
EV_PLATFORM_CONFIG_FLAGS: Final = 0xA
EV_TABLE_OF_DEVICES: Final = 0xB
EV_COMPACT_HASH: Final = 0xC
EV_IPL: Final = 0xD
EV_IPL_PARTITION_DATA: Final = 0xE
EV_NONHOST_CODE: Final = 0xF
EV_NONHOST_CONFIG: Final = 0x10
EV_NONHOST_INFO: Final = 0x11

_RECORD: Final = struct.Struct("<III")  # TCG_PCR_EVENT2, up to the digests
_U16: Final = struct.Struct("<H")
_U32: Final = struct.Struct("<I")
_COUNT_OFFSET: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRecord:
    """One event; ``digests`` has (algorithm id, digest) in the order of the log."""

    pcr_index: int
    event_type: int
    digests: tuple[tuple[int, bytes], ...]
    event: bytes = b""

    @classmethod
    def from_prefix(
        cls, raw: Buffer, digest_sizes: Mapping[int, int]
    ) -> tuple[LogRecord, int]:
        """The record at the start of ``raw``, and its size.

        ``digest_sizes`` are those of the log's header. Raises `FormatError` for a PCR
        that does not exist, no digest, more digests than banks, an unknown or double
        algorithm, and an event that is too long.
        """
        return _record(bytes(raw), 0, digest_sizes)

    def to_bytes(self) -> bytes:
        """The record; `FormatError` if a number does not fit into its field."""
        count = len(self.digests)
        head = pack(_RECORD, self.pcr_index, self.event_type, count)
        digests = b"".join(pack(_U16, each) + digest for each, digest in self.digests)
        return head + digests + pack(_U32, len(self.event)) + self.event

    def digest(self, algorithm: int) -> bytes | None:
        """The digest for one bank, if the record has one."""
        return dict(self.digests).get(algorithm)

    @property
    def text(self) -> str:
        """The event as text, for people."""
        return self.event.rstrip(b"\0").decode("ascii", "backslashreplace")


@dataclass(frozen=True, slots=True, kw_only=True)
class EventLog:
    """A header and its records, without the zeros behind them."""

    header: SpecIdHeader
    records: tuple[LogRecord, ...] = ()

    @classmethod
    def from_bytes(cls, raw: Buffer) -> EventLog:
        """A log, or a whole buffer that holds one and zeros behind it.

        Raises `FormatError` for a bad header or record, and for anything but zeros
        behind the last record.
        """
        content = bytes(raw)
        header, at = SpecIdHeader.from_prefix(content)
        sizes = header.digest_sizes
        records: list[LogRecord] = []
        while any(content[at + _COUNT_OFFSET : at + _RECORD.size]):
            record, at = _record(content, at, sizes)
            records.append(record)
        rest = content[at:].lstrip(b"\0")
        if rest:
            found = f"0x{len(rest):x} bytes"
            raise FormatError(NAME, "end", len(content) - len(rest), found, "zeros")
        return cls(header=header, records=tuple(records))

    def to_bytes(self) -> bytes:
        """Header and records, nothing behind them.

        Raises `FormatError` if a record does not follow the header or a limit.
        """
        parts = [self.header.to_bytes()]
        sizes = self.header.digest_sizes
        for record in self.records:
            raw = record.to_bytes()
            _record(raw, 0, sizes)
            parts.append(raw)
        return b"".join(parts)


def end_offset(raw: Buffer) -> int:
    """Where the next record goes in a buffer that holds a log.

    As skiboot finds it: behind the header, over the records, to the first one that does
    not parse or has no digest. Raises `FormatError` only for a bad header.
    """
    header, at = SpecIdHeader.from_prefix(raw)
    sizes = header.digest_sizes
    end = _skip(raw, at, sizes)
    while end > at:
        at = end
        end = _skip(raw, at, sizes)
    return at


def _skip(raw: Buffer, at: int, sizes: Mapping[int, int]) -> int:
    """The end of the record at ``at``, or ``at`` if `_record` refuses it."""
    try:
        pcr_index, _, count = _RECORD.unpack_from(raw, at)
        if not 0 < count <= len(sizes) or pcr_index >= PCR_COUNT:
            return at
        place = at + _RECORD.size
        seen = set()
        for _ in range(count):
            (algorithm,) = _U16.unpack_from(raw, place)
            seen.add(algorithm)
            place += _U16.size + sizes[algorithm]
        (event_size,) = _U32.unpack_from(raw, place)
    except (struct.error, KeyError):
        return at
    end: int = place + _U32.size + event_size
    fits = event_size <= MAX_EVENT_SIZE and end <= len(raw) and len(seen) == count
    return end if fits else at


def _record(raw: bytes, at: int, sizes: Mapping[int, int]) -> tuple[LogRecord, int]:
    """The record at ``at`` and where it ends."""
    pcr_index, event_type, count = fields_at(_RECORD, "record", raw, at)
    if pcr_index >= PCR_COUNT:
        limit = f"less than 0x{PCR_COUNT:x}"
        raise FormatError(NAME, "pcr_index", at, f"0x{pcr_index:x}", limit)
    if not 0 < count <= len(sizes):
        place = at + _COUNT_OFFSET
        limit = f"0x1 to 0x{len(sizes):x}"
        raise FormatError(NAME, "digest_count", place, f"0x{count:x}", limit)
    digests, place = _digests(raw, at + _RECORD.size, count, sizes)
    event, end = _event(raw, place)
    record = LogRecord(
        pcr_index=pcr_index, event_type=event_type, digests=digests, event=event
    )
    return record, end


def _digests(
    raw: bytes, at: int, count: int, sizes: Mapping[int, int]
) -> tuple[tuple[tuple[int, bytes], ...], int]:
    found: dict[int, bytes] = {}
    for _ in range(count):
        (algorithm,) = fields_at(_U16, "algorithm", raw, at)
        if algorithm not in sizes or algorithm in found:
            known = " ".join(f"0x{each:04x}" for each in sizes)
            raise FormatError(
                NAME, "algorithm", at, f"0x{algorithm:04x}", f"each of {known} once"
            )
        start = at + _U16.size
        at = start + sizes[algorithm]
        if at > len(raw):
            have = f"0x{len(raw) - start:x} bytes"
            raise FormatError(
                NAME, "digest", start, have, f"0x{sizes[algorithm]:x} bytes"
            )
        found[algorithm] = raw[start:at]
    return tuple(found.items()), at


def _event(raw: bytes, at: int) -> tuple[bytes, int]:
    (size,) = fields_at(_U32, "event_size", raw, at)
    start = at + _U32.size
    if size > min(MAX_EVENT_SIZE, len(raw) - start):
        limit = f"at most 0x{min(MAX_EVENT_SIZE, len(raw) - start):x}"
        raise FormatError(NAME, "event_size", at, f"0x{size:x}", limit)
    return raw[start : start + size], start + size
