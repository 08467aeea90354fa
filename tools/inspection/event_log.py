"""A TPM event log, record by record, and the PCR values that it replays to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pefstack.images import event_log as codes
from pefstack.images.codec import Buffer
from pefstack.images.event_log import EventLog
from pefstack.images.event_log_header import HASH_NAMES
from pefstack.images.event_log_replay import replay
from pefstack.tools.inspection.region import Region, rest

_NAMES: Final = {
    value: name for name, value in vars(codes).items() if name.startswith("EV_")
}


def event_log_regions(raw: Buffer) -> Iterator[Region]:
    """Record 0, the records, the unused end; `FormatError` if the log is broken."""
    log = EventLog.from_bytes(raw)
    at = len(log.header.to_bytes())
    banks = ", ".join(HASH_NAMES[bank] for bank, _ in log.header.algorithms)
    yield Region(offset=0, size=at, name="Spec ID", value=f"banks {banks}")
    for record in log.records:
        size = len(record.to_bytes())
        digests = " ".join(digest.hex() for _, digest in record.digests)
        name = f"PCR{record.pcr_index} {_type_name(record.event_type)}"
        value = f"{record.text!r} {digests}"
        yield Region(offset=at, size=size, name=name, value=value)
        at += size
    yield from rest(raw, at, len(raw))


def replayed(raw: Buffer) -> dict[str, dict[str, str]]:
    """PCR values by bank and number, from the log alone."""
    return {
        HASH_NAMES[bank]: {str(pcr): value.hex() for pcr, value in sorted(pcrs.items())}
        for bank, pcrs in replay(EventLog.from_bytes(raw)).items()
    }


def _type_name(event_type: int) -> str:
    return _NAMES.get(event_type, f"type 0x{event_type:x}")
