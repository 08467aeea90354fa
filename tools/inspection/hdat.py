"""A structure of HDAT: its header and parts; IPL parameters field by field."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pefstack.images import iplparams, tpmrel
from pefstack.images.codec import Buffer
from pefstack.images.hdif import (
    ARRAY_HEADER_SIZE,
    POINTER_SIZE,
    HdifHeader,
    HdifPointer,
    read_pointers,
)
from pefstack.images.iplparams import IplParameters, SystemParameters
from pefstack.images.tpmrel import NodeTpm, TpmRel, srtm_log_ranges
from pefstack.tools.inspection.region import Region, rest

_STATUS: Final = {
    tpmrel.STATUS_FUNCTIONAL: "functional",
    tpmrel.STATUS_NOT_FUNCTIONAL: "present, not functional",
    tpmrel.STATUS_ABSENT: "absent",
}


def hdat_regions(raw: Buffer) -> Iterator[Region]:
    """Every part by its place; `FormatError` if the structure is broken."""
    header, size = HdifHeader.from_prefix(raw)
    parts = read_pointers(raw, header)
    name = header.eye_catcher.decode("ascii", "replace")
    text = f"{name}, version 0x{header.version:x}, 0x{header.total_size:x} bytes"
    found = [Region(offset=0, size=size, name="header", value=text)]
    for number, part in enumerate(parts):
        at = header.pointer_offset + number * POINTER_SIZE
        value = f"part {number}: 0x{part.size:x} bytes at 0x{part.offset:x}"
        found.append(Region(offset=at, size=POINTER_SIZE, name="pointer", value=value))
    found += _parts(bytes(raw[: header.total_size]), name, parts)
    at = 0
    for region in sorted(found, key=lambda each: each.offset):
        yield from rest(raw, at, region.offset)
        yield region
        at = max(at, region.offset + region.size)
    yield from rest(raw, at, len(raw))


def _parts(raw: bytes, name: str, parts: tuple[HdifPointer, ...]) -> Iterator[Region]:
    if name == tpmrel.NAME:
        yield from _tpms(raw, parts)
    elif name == iplparams.NAME:
        yield from _system(parts[0].offset, IplParameters.from_bytes(raw).system)
    else:
        for number, part in enumerate(parts):
            yield Region(offset=part.offset, size=part.size, name=f"part {number}")


def _tpms(raw: bytes, parts: tuple[HdifPointer, ...]) -> Iterator[Region]:
    value = TpmRel.from_bytes(raw)
    table, links, services = parts
    count = f"{len(value.tpms)} TPMs"
    yield Region(
        offset=table.offset, size=ARRAY_HEADER_SIZE, name="array header", value=count
    )
    at = table.offset + ARRAY_HEADER_SIZE
    for number, tpm in enumerate(value.tpms):
        size = tpmrel.TPM_ENTRY_SIZE
        text = _tpm_text(tpm)
        yield Region(offset=at, size=size, name=f"TPM {number}", value=text)
        at += size
    for number, place in enumerate(srtm_log_ranges(raw)):
        if place:
            name, size = f"event log of TPM {number}", len(place)
            yield Region(offset=place.start, size=size, name=name)
    ids = ", ".join(f"0x{each:x}" for each in value.physical_presence)
    yield Region(
        offset=links.offset, size=links.size, name="physical presence", value=ids
    )
    words = (f"type {each.type} at 0x{each.offset:x}" for each in value.services)
    yield Region(
        offset=services.offset,
        size=services.size,
        name="services",
        value=", ".join(words),
    )


def _tpm_text(tpm: NodeTpm) -> str:
    status = _STATUS.get(tpm.status, f"status {tpm.status}")
    flags = ((tpmrel.FLAG_POISONED, "poisoned"), (tpmrel.FLAG_BACKUP, "backup"))
    words = [word for bit, word in flags if tpm.flags & bit]
    return ", ".join([f"chip 0x{tpm.chip_id:x}", status, *words])


def _system(at: int, system: SystemParameters) -> Iterator[Region]:
    for name, size in iplparams.SYSTEM_FIELDS:
        value = getattr(system, name)
        text = f"0x{value:x}" if isinstance(value, int) else _text(name, value)
        yield Region(offset=at, size=size, name=f"system.{name}", value=text)
        at += size


def _text(name: str, value: bytes) -> str:
    if name in ("sys_vendor", "sys_family", "sys_type"):
        return value.rstrip(b"\0").decode("ascii", "replace")
    return value.hex()
