"""Make records of a TPM event log by the digest rules (boot-chain.md 3.2, 4.1)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from typing import Final

from pefstack.images.codec import Buffer
from pefstack.images.errors import FormatError
from pefstack.images.event_log import EV_SEPARATOR, LogRecord
from pefstack.images.event_log_header import (
    DIGEST_SIZES,
    HASH_NAMES,
    MAX_DIGEST_SIZE,
    NAME,
    SHA1,
    SHA256,
    SpecIdHeader,
)

ONE_BANK: Final = (SHA256,)  # POWER10
TWO_BANKS: Final = (SHA256, SHA1)  # POWER9
SEPARATOR_EVENT: Final = b"\xff\xff\xff\xff"


def header(algorithms: Sequence[int] = ONE_BANK) -> SpecIdHeader:
    """Record 0 of a log with these banks: 69 bytes for one, 73 for two.

    Raises `FormatError` for an algorithm that is unknown here.
    """
    return SpecIdHeader(algorithms=tuple((each, _size(each)) for each in algorithms))


def measurement(
    pcr_index: int,
    event_type: int,
    value: Buffer,
    event: bytes,
    algorithms: Sequence[int] = ONE_BANK,
) -> LogRecord:
    """The record of an extend with ``value``: at most 64 bytes, hashed or raw."""
    digests = tuple((each, fit(value, _size(each))) for each in algorithms)
    return LogRecord(
        pcr_index=pcr_index, event_type=event_type, digests=digests, event=event
    )


def separator(pcr_index: int, algorithms: Sequence[int] = ONE_BANK) -> LogRecord:
    """EV_SEPARATOR: the digest is the hash of ff ff ff ff, which is also the event."""
    digests = tuple((each, separator_digest(each)) for each in algorithms)
    return LogRecord(
        pcr_index=pcr_index,
        event_type=EV_SEPARATOR,
        digests=digests,
        event=SEPARATOR_EVENT,
    )


@cache
def separator_digest(algorithm: int) -> bytes:
    """The hash of ff ff ff ff; `FormatError` for an algorithm that is unknown here."""
    _size(algorithm)
    return hashlib.new(HASH_NAMES[algorithm], SEPARATOR_EVENT).digest()


def fit(value: Buffer, size: int) -> bytes:
    """What is extended into a bank: the leading bytes, or zeros added behind.

    Raises `FormatError` for more than 64 bytes, which nobody measures.
    """
    if len(value) > MAX_DIGEST_SIZE:
        limit = f"at most 0x{MAX_DIGEST_SIZE:x}"
        raise FormatError(NAME, "measured value", 0, f"0x{len(value):x} bytes", limit)
    return bytes(value[:size]).ljust(size, b"\0")


def _size(algorithm: int) -> int:
    size = DIGEST_SIZES.get(algorithm)
    if size is None:
        known = " ".join(f"0x{each:04x}" for each in DIGEST_SIZES)
        raise FormatError(NAME, "bank", 0, f"0x{algorithm:04x}", f"one of {known}")
    return size
