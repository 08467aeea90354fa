"""Hold an event log against the PCRs of the TPM: the log itself is not protected."""

from __future__ import annotations

from typing import Final

from pefstack.images.event_log import EventLog
from pefstack.images.event_log_header import SHA256
from pefstack.images.event_log_replay import replay

# by PCR: what the log replays to, and what the TPM says
Differences = dict[int, tuple[bytes, bytes]]

STATIC_PCRS: Final = (*range(17), 23)  # those that begin with zeros


def log_differences(log: bytes, pcrs: dict[int, bytes]) -> Differences:
    """PCRs of the SHA-256 bank where the two differ; a log without that bank has none.

    Raises `FormatError` for bytes that are no log.
    """
    parsed = EventLog.from_bytes(log)
    if SHA256 not in parsed.header.digest_sizes:
        return {}
    found = replay(parsed)[SHA256]
    pairs = {pcr: found.get(pcr, bytes(32)) for pcr in STATIC_PCRS}
    return {
        pcr: (value, pcrs[pcr])
        for pcr, value in pairs.items()
        if pcr in pcrs and pcrs[pcr] != value
    }
