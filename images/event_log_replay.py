"""Compute PCR values from a TPM event log (boot-chain.md 3.2, 4.1)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from pefstack.images.errors import FormatError
from pefstack.images.event_log import EventLog, LogRecord
from pefstack.images.event_log_header import (
    DIGEST_SIZES,
    EV_NO_ACTION,
    HASH_NAMES,
    NAME,
)


def replay(log: EventLog) -> dict[int, dict[int, bytes]]:
    """Algorithm id to PCR to its value after the log; a PCR never extended is left out.

    Every PCR starts with zeros. Raises `FormatError` if the log has a bank whose
    algorithm is unknown here.
    """
    return {
        algorithm: {
            record.pcr_index: value
            for record, value in zip(log.records, _values(log, algorithm), strict=True)
            if extends(record, algorithm)
        }
        for algorithm, _ in log.header.algorithms
    }


def replay_steps(log: EventLog, algorithm: int) -> tuple[bytes, ...]:
    """For each record the value of its PCR after it, in the bank of this algorithm.

    A record that does not extend this bank leaves the value as it was.
    """
    return tuple(_values(log, algorithm))


def extends(record: LogRecord, algorithm: int) -> bool:
    """Whether the record stands for an extend of this bank."""
    return record.event_type != EV_NO_ACTION and record.digest(algorithm) is not None


def _values(log: EventLog, algorithm: int) -> Iterator[bytes]:
    if algorithm not in HASH_NAMES or algorithm not in log.header.digest_sizes:
        known = " ".join(f"0x{each:04x}" for each in HASH_NAMES)
        raise FormatError(NAME, "bank", 0, f"0x{algorithm:04x}", f"one of {known}")
    start = bytes(DIGEST_SIZES[algorithm])
    pcrs: dict[int, bytes] = {}
    for record in log.records:
        value = pcrs.get(record.pcr_index, start)
        digest = record.digest(algorithm)
        if digest is not None and extends(record, algorithm):
            value = hashlib.new(HASH_NAMES[algorithm], value + digest).digest()
            pcrs[record.pcr_index] = value
        yield value
