"""HDAT node-TPM structure: TPMs, their logs, code for OPAL (boot-chain.md 4.2)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from pefstack.images.codec import Buffer
from pefstack.images.errors import FormatError
from pefstack.images.hdif import (
    ARRAY_HEADER_SIZE,
    CHILD_COUNT_OFFSET,
    POINTER_COUNT_OFFSET,
    HdifHeader,
    HdifPointer,
    array_header,
    join,
    read_array,
    read_pointers,
)

NAME: Final = "TPMREL"
EYE_CATCHER: Final = b"TPMREL"
VERSION_POWER9: Final = 0x11
VERSION_POWER10: Final = 0x30
LOG_SIZE: Final = 0x10000
MAX_LOG_SIZE: Final = 0x100000
MAX_TPM_COUNT: Final = 32
MAX_SERVICE_COUNT: Final = 64
LOCALITIES_POWER9: Final = bytes((0xA8, 0xAA, 0xA4, 0xA6))

STATUS_FUNCTIONAL: Final = 1
STATUS_NOT_FUNCTIONAL: Final = 2  # present
STATUS_ABSENT: Final = 3

FLAG_POISONED: Final = 0x80  # bit 0, from the most significant one; POWER10
FLAG_BACKUP: Final = 0x40

SERVICE_SHA512: Final = 0
SERVICE_VERIFY: Final = 1

_TPM: Final = struct.Struct(">II4sBB2sIIII")
TPM_ENTRY_SIZE: Final = _TPM.size
_LINKS: Final = struct.Struct(">II")
_SERVICE: Final = struct.Struct(">IIII")
_POINTER_COUNT: Final = 3
_VERSION_OFFSET: Final = 0x0A
_SRTM_FIELD: Final = 0x10  # offset of the log's offset in an entry
_DRTM_FIELD: Final = 0x18


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeTpm:
    """One TPM; ``chip_id`` is the SPI device id on POWER10.

    ``srtm_log`` is the whole buffer, the zeros behind the log among it; an absent log
    is empty.
    """

    chip_id: int
    drawer_id: int = 0
    localities: bytes = LOCALITIES_POWER9
    status: int = STATUS_FUNCTIONAL
    flags: int = 0
    reserved: bytes = bytes(2)
    srtm_log: bytes
    drtm_log: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class HashAndVerifyService:
    """One entry into the code that OPAL may call; ``offset`` from its start."""

    type: int
    version: int = 1
    drawer_id: int = 0
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TpmRel:
    """The structure; ``physical_presence`` has the ids of its two I2C links."""

    instance: int = 0
    version: int
    tpms: tuple[NodeTpm, ...]
    physical_presence: tuple[int, int]
    services: tuple[HashAndVerifyService, ...]

    @classmethod
    def from_prefix(cls, raw: Buffer) -> tuple[TpmRel, int]:
        """The structure at the start of ``raw``, and its size.

        Raises `FormatError` for another eye-catcher or version, children, other than
        three parts, and an offset, size or count that leaves what it belongs to.
        """
        header, _ = HdifHeader.from_prefix(raw)
        _check_header(header)
        whole = memoryview(raw)[: header.total_size]
        tpms, links, services = read_pointers(whole, header)
        value = cls(
            instance=header.instance,
            version=header.version,
            tpms=_tpms(whole, tpms),
            physical_presence=_links(whole, links),
            services=_services(whole, services),
        )
        return value, header.total_size

    @classmethod
    def from_bytes(cls, raw: Buffer) -> TpmRel:
        """A structure and nothing behind it; errors as `from_prefix`."""
        value, size = cls.from_prefix(raw)
        if rest := len(raw) - size:
            raise FormatError(NAME, "end", size, f"0x{rest:x} bytes", "no more bytes")
        return value

    def to_bytes(self) -> bytes:
        """Laid out as Hostboot does, the logs behind all entries.

        Raises `FormatError` for what `from_bytes` would refuse.
        """
        parts = (_tpm_part(self.tpms), _links_part(self), _service_part(self.services))
        raw = join(
            EYE_CATCHER, instance=self.instance, version=self.version, parts=parts
        )
        if TpmRel.from_bytes(raw) != self:  # struct cuts and fills without a word
            raise FormatError(NAME, "value", 0, "bytes of another size", "4 and 2")
        return raw


def _check_header(header: HdifHeader) -> None:
    if header.eye_catcher != EYE_CATCHER:
        found = repr(header.eye_catcher)
        raise FormatError(NAME, "eye_catcher", 2, found, repr(EYE_CATCHER))
    if header.version not in (VERSION_POWER9, VERSION_POWER10):
        found = f"0x{header.version:x}"
        raise FormatError(NAME, "version", _VERSION_OFFSET, found, "0x11 or 0x30")
    if header.pointer_count != _POINTER_COUNT:
        found = f"0x{header.pointer_count:x}"
        raise FormatError(NAME, "pointer_count", POINTER_COUNT_OFFSET, found, "0x3")
    if header.child_count:
        found = f"0x{header.child_count:x}"
        raise FormatError(NAME, "child_count", CHILD_COUNT_OFFSET, found, "0x0")


def srtm_log_ranges(raw: Buffer) -> tuple[range, ...]:
    """Where in ``raw`` the log buffer of each TPM is: there OPAL appends, in place.

    Empty for a TPM without a log. Errors as `TpmRel.from_prefix`, but for those of the
    parts behind the first.
    """
    header, _ = HdifHeader.from_prefix(raw)
    _check_header(header)
    whole = memoryview(raw)[: header.total_size]
    tpms, *_ = read_pointers(whole, header)
    return tuple(srtm for _, srtm, _ in _entries(whole, tpms))


def _tpms(raw: memoryview, part: HdifPointer) -> tuple[NodeTpm, ...]:
    found = []
    for numbers, srtm, drtm in _entries(raw, part):
        chip_id, drawer_id, localities, status, flags, reserved = numbers
        tpm = NodeTpm(
            chip_id=chip_id,
            drawer_id=drawer_id,
            localities=localities,
            status=status,
            flags=flags,
            reserved=reserved,
            srtm_log=bytes(raw[srtm.start : srtm.stop]),
            drtm_log=bytes(raw[drtm.start : drtm.stop]),
        )
        found.append(tpm)
    return tuple(found)


def _entries(
    raw: memoryview, part: HdifPointer
) -> Iterator[tuple[list[Any], range, range]]:
    """All but the logs of each entry, and where its two logs are."""
    array = read_array(raw, part, _TPM.size)
    _check_count(array.count, MAX_TPM_COUNT, part.offset + 4)
    for at in range(array.first, array.end, _TPM.size):
        *numbers, srtm_offset, srtm_size, drtm_offset, drtm_size = _TPM.unpack_from(
            raw, at
        )
        free = range(array.end, part.end)
        srtm = _log("srtm_log", at, _SRTM_FIELD, (srtm_offset, srtm_size), free)
        drtm = _log("drtm_log", at, _DRTM_FIELD, (drtm_offset, drtm_size), free)
        yield numbers, srtm, drtm


def _log(
    field: str, at: int, place: int, numbers: tuple[int, int], free: range
) -> range:
    """Where a log is; its offset counts from the entry at ``at``."""
    offset, size = numbers
    if size > MAX_LOG_SIZE:
        limit = f"at most 0x{MAX_LOG_SIZE:x}"
        raise FormatError(NAME, f"{field}_size", at + place + 4, f"0x{size:x}", limit)
    if not size:
        return range(0)
    start = at + offset
    if not free.start <= start <= free.stop - size:
        found = f"0x{offset:x} with 0x{size:x} bytes"
        limit = f"0x{free.start - at:x} to 0x{free.stop - at:x}"
        raise FormatError(NAME, f"{field}_offset", at + place, found, limit)
    return range(start, start + size)


def _links(raw: memoryview, part: HdifPointer) -> tuple[int, int]:
    if part.size != _LINKS.size:
        found = f"0x{part.size:x} bytes"
        raise FormatError(NAME, "physical_presence", part.offset, found, "0x8 bytes")
    first, second = _LINKS.unpack_from(raw, part.offset)
    return first, second


def _services(raw: memoryview, part: HdifPointer) -> tuple[HashAndVerifyService, ...]:
    array = read_array(raw, part, _SERVICE.size)
    _check_count(array.count, MAX_SERVICE_COUNT, part.offset + 4)
    rows = _SERVICE.iter_unpack(raw[array.first : array.end])
    return tuple(
        HashAndVerifyService(
            type=type_, version=version, drawer_id=drawer_id, offset=offset
        )
        for type_, version, drawer_id, offset in rows
    )


def _check_count(count: int, limit: int, at: int) -> None:
    if count > limit:
        raise FormatError(NAME, "count", at, f"0x{count:x}", f"at most 0x{limit:x}")


def _tpm_part(tpms: tuple[NodeTpm, ...]) -> bytes:
    """Array header, entries, logs."""
    entries, logs = [], []
    at = ARRAY_HEADER_SIZE
    free = at + len(tpms) * _TPM.size
    for tpm in tpms:
        numbers = []
        for log in (tpm.srtm_log, tpm.drtm_log):
            numbers += [free - at if log else 0, len(log)]
            free += len(log)
            logs.append(log)
        entries.append(_pack(_TPM, *_fields(tpm), *numbers))
        at += _TPM.size
    return b"".join((array_header(len(tpms), _TPM.size), *entries, *logs))


def _fields(tpm: NodeTpm) -> tuple[object, ...]:
    """All but the logs."""
    return (
        tpm.chip_id,
        tpm.drawer_id,
        tpm.localities,
        tpm.status,
        tpm.flags,
        tpm.reserved,
    )


def _links_part(value: TpmRel) -> bytes:
    return _pack(_LINKS, *value.physical_presence)


def _service_part(services: tuple[HashAndVerifyService, ...]) -> bytes:
    rows = [
        _pack(_SERVICE, each.type, each.version, each.drawer_id, each.offset)
        for each in services
    ]
    return array_header(len(services), _SERVICE.size) + b"".join(rows)


def _pack(layout: struct.Struct, *values: object) -> bytes:
    try:
        return layout.pack(*values)
    except struct.error as exc:
        raise FormatError(NAME, "value", 0, str(exc), "values that fit") from None
