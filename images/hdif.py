"""HDIF: the header, pointers and arrays of every HDAT structure (boot-chain.md 4.2)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

from pefstack.images.codec import Buffer
from pefstack.images.errors import FormatError

NAME: Final = "HDIF"
MAGIC: Final = b"\xd1\xf0"
HEADER_SIZE: Final = 0x20
MAX_SIZE: Final = 0x1000000  # of one structure
MAX_POINTER_COUNT: Final = 64
MAX_ENTRY_COUNT: Final = 4096

TOTAL_SIZE_OFFSET: Final = 0x0C
HEADER_SIZE_OFFSET: Final = 0x10
POINTER_OFFSET_OFFSET: Final = 0x14
POINTER_COUNT_OFFSET: Final = 0x18
CHILD_COUNT_OFFSET: Final = 0x1A

_HEADER: Final = struct.Struct(">2s6sHHIIIHHI")
_POINTER: Final = struct.Struct(">II")
POINTER_SIZE: Final = _POINTER.size
_ARRAY: Final = struct.Struct(">IIII")
ARRAY_HEADER_SIZE: Final = _ARRAY.size


@dataclass(frozen=True, slots=True, kw_only=True)
class HdifHeader:
    """32 bytes; sizes in bytes, offsets from the start of the structure."""

    eye_catcher: bytes
    instance: int = 0
    version: int
    total_size: int
    header_size: int = HEADER_SIZE
    pointer_offset: int = HEADER_SIZE
    pointer_count: int
    child_count: int = 0
    child_offset: int = 0

    @classmethod
    def from_prefix(cls, raw: Buffer) -> tuple[HdifHeader, int]:
        """The header at the start of ``raw``, and its size.

        Raises `FormatError` for another magic, and for sizes that do not agree with
        each other (not with the length of ``raw``).
        """
        magic = bytes(raw[: len(MAGIC)])
        if magic != MAGIC:
            raise FormatError(NAME, "magic", 0, magic.hex() or "nothing", MAGIC.hex())
        if len(raw) < HEADER_SIZE:
            found, right = f"0x{len(raw):x} bytes", f"0x{HEADER_SIZE:x} bytes"
            raise FormatError(NAME, "header", 0, found, right)
        _, *values = _HEADER.unpack_from(raw)
        header = cls(**dict(zip(_FIELDS, values, strict=True)))
        _check_header(header)
        return header, HEADER_SIZE

    def to_bytes(self) -> bytes:
        """32 bytes; `FormatError` if a value does not fit into its field."""
        try:
            raw = _HEADER.pack(MAGIC, *_values(self))
        except struct.error as exc:
            raise FormatError(NAME, "value", 0, str(exc), "values that fit") from None
        if raw[2:8] != self.eye_catcher:  # struct cuts and fills without a word
            found = repr(self.eye_catcher)
            raise FormatError(NAME, "eye_catcher", 2, found, "0x6 bytes")
        return raw


_FIELDS: Final = tuple(HdifHeader.__dataclass_fields__)
_values: Final = attrgetter(*_FIELDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class HdifPointer:
    """Where a part is: offset from the start of the structure, and size."""

    offset: int
    size: int

    @property
    def end(self) -> int:
        """The first offset behind the part."""
        return self.offset + self.size


@dataclass(frozen=True, slots=True, kw_only=True)
class HdifArray:
    """What an array header says; the table is that of the structure, not of the part.

    ``first`` is the offset of entry 0 from the start of the structure.
    """

    first: int
    count: int
    entry_size: int

    @property
    def end(self) -> int:
        """The first offset behind the table."""
        return self.first + self.count * self.entry_size


def read_pointers(raw: Buffer, header: HdifHeader) -> tuple[HdifPointer, ...]:
    """The pointers of a structure that is complete in ``raw``.

    Raises `FormatError` if ``raw`` ends before the structure does, and for a part that
    touches the header or leaves the structure.
    """
    total = header.total_size
    if total > len(raw):
        limit = f"at most 0x{len(raw):x}, where the bytes end"
        raise FormatError(NAME, "total_size", TOTAL_SIZE_OFFSET, f"0x{total:x}", limit)
    at = header.pointer_offset
    end = at + header.pointer_count * _POINTER.size
    rows = _POINTER.iter_unpack(memoryview(raw)[at:end])
    parts = tuple(HdifPointer(offset=offset, size=size) for offset, size in rows)
    for number, part in enumerate(parts):
        _check_pointer(part, total, at + number * _POINTER.size)
    return parts


def read_array(raw: Buffer, part: HdifPointer, entry_size: int) -> HdifArray:
    """The array header at the start of a part, with entries of exactly this size.

    Raises `FormatError` for another entry size, too many entries, and a table that
    touches the array header or leaves the part.
    """
    at = part.offset
    if part.size < _ARRAY.size:
        right = f"at least 0x{_ARRAY.size:x} bytes"
        raise FormatError(NAME, "array", at, f"0x{part.size:x} bytes", right)
    offset, count, *sizes = _ARRAY.unpack_from(raw, at)
    _check_count(count, at + 4)
    for place, (field, size) in enumerate(zip(_SIZE_FIELDS, sizes, strict=True)):
        if size != entry_size:
            where = at + 8 + 4 * place
            raise FormatError(NAME, field, where, f"0x{size:x}", f"0x{entry_size:x}")
    array = HdifArray(first=at + offset, count=count, entry_size=entry_size)
    if offset < _ARRAY.size or array.end > part.end:
        limit = f"0x{_ARRAY.size:x} to 0x{part.size:x} with all entries"
        raise FormatError(NAME, "offset", at, f"0x{offset:x}", limit)
    return array


_SIZE_FIELDS: Final = ("entry_size", "actual_size")


def array_header(count: int, entry_size: int) -> bytes:
    """16 bytes in front of so many entries; `FormatError` if there are too many."""
    _check_count(count, 4)
    return _ARRAY.pack(_ARRAY.size, count, entry_size, entry_size)


def join(
    eye_catcher: bytes, *, instance: int, version: int, parts: tuple[bytes, ...]
) -> bytes:
    """A structure of these parts, back to back behind header and pointers.

    Only the pointers are filled to a multiple of 16 bytes. Raises `FormatError` for
    values that do not fit and for a structure of impossible size.
    """
    table_end = HEADER_SIZE + len(parts) * _POINTER.size
    at = -(-table_end // 16) * 16
    padding = bytes(at - table_end)
    pointers = []
    for part in parts:
        pointers.append(_POINTER.pack(at, len(part)))
        at += len(part)
    header = HdifHeader(
        eye_catcher=eye_catcher,
        instance=instance,
        version=version,
        total_size=at,
        pointer_count=len(parts),
    )
    _check_header(header)
    return b"".join((header.to_bytes(), *pointers, padding, *parts))


def _check_header(header: HdifHeader) -> None:
    total, start = header.total_size, header.pointer_offset
    if not HEADER_SIZE <= total <= MAX_SIZE:
        limit = f"0x{HEADER_SIZE:x} to 0x{MAX_SIZE:x}"
        raise FormatError(NAME, "total_size", TOTAL_SIZE_OFFSET, f"0x{total:x}", limit)
    if header.header_size != HEADER_SIZE:
        found = f"0x{header.header_size:x}"
        raise FormatError(NAME, "header_size", HEADER_SIZE_OFFSET, found, "0x20")
    if header.pointer_count > MAX_POINTER_COUNT:
        limit = f"at most 0x{MAX_POINTER_COUNT:x}"
        found = f"0x{header.pointer_count:x}"
        raise FormatError(NAME, "pointer_count", POINTER_COUNT_OFFSET, found, limit)
    end = start + header.pointer_count * _POINTER.size
    if start < HEADER_SIZE or end > total:
        limit = f"0x{HEADER_SIZE:x} to 0x{total:x} with all pointers"
        raise FormatError(
            NAME, "pointer_offset", POINTER_OFFSET_OFFSET, f"0x{start:x}", limit
        )


def _check_count(count: int, at: int) -> None:
    if count > MAX_ENTRY_COUNT:
        limit = f"at most 0x{MAX_ENTRY_COUNT:x}"
        raise FormatError(NAME, "count", at, f"0x{count:x}", limit)


def _check_pointer(part: HdifPointer, total: int, at: int) -> None:
    if part.offset < HEADER_SIZE or part.end > total:
        found = f"0x{part.offset:x} with 0x{part.size:x} bytes"
        raise FormatError(NAME, "pointer", at, found, f"0x20 to 0x{total:x}")
