"""ESM operand: the table of its blocks, once it is authentic (esm.md 5.5)."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import Final

from pefstack.images.esm_operand_payload import ENTRY_SIZE, HEADER_SIZE, MAC_SIZE
from pefstack.images.esm_refusal import (
    OperandError,
    OperandRefusal,
    check_number,
    check_range,
    check_zero,
)

TYPE_INTEGRITY: Final = 1
TYPE_PASSPHRASE: Final = 2
TYPE_CUSTOMER_DATA: Final = 3
TYPE_WORDS: Final = {
    TYPE_INTEGRITY: "integrity",
    TYPE_PASSPHRASE: "root-disk passphrase",
    TYPE_CUSTOMER_DATA: "customer data",
}
MAX_BLOCK_SIZE: Final = 0x10000
ALIGNMENT: Final = 8

_ENTRY: Final = struct.Struct(">HHIII48s")
_NAME: Final = re.compile(r"[A-Za-z][0-9A-Za-z,._+-]{0,30}")
_R: Final = OperandRefusal


@dataclass(frozen=True, slots=True, kw_only=True)
class TocEntry:
    """One block: ``offset`` from the start of the payload, ``size`` without padding."""

    type: int
    offset: int
    size: int
    name: str = ""

    @property
    def end(self) -> int:
        """Where the next block begins, behind the padding."""
        return self.offset + padded(self.size)

    def to_bytes(self) -> bytes:
        """64 bytes; `OperandError` for a name or size that is not allowed."""
        _check_block_type(self.type, 0)
        size = range(MAX_BLOCK_SIZE + 1)
        check_range(_R.TOC_RANGE, "block size", 8, self.size, size)
        name = self.name.encode("ascii", "replace")
        _check_name(self.type, name, 16)
        return _ENTRY.pack(self.type, 0, self.offset, self.size, 0, name)


def padded(size: int) -> int:
    """The bytes that a block takes in the payload."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def read_table(table: bytes, payload: bytes) -> tuple[TocEntry, ...]:
    """The entries of a decrypted table; every byte of the payload belongs to one.

    Raises `OperandError`, for each entry E_TOC_TYPE to E_TOC_PAD in this order.
    """
    entries: list[TocEntry] = []
    names: set[str] = set()
    start, end = HEADER_SIZE + len(table), len(payload) - MAC_SIZE
    for at in range(0, len(table), ENTRY_SIZE):
        row = _ENTRY.unpack_from(table, at)
        _check_type(len(entries), row[0], at)
        check_number(_R.TOC_FLAGS, "block flags", at + 2, row[1], 0)
        check_number(_R.TOC_FLAGS, "block reserved", at + 12, row[4], 0)
        entry = TocEntry(type=row[0], offset=row[2], size=row[3], name=_text(row[5]))
        _check_place(entry, at, start, end, last=at + ENTRY_SIZE == len(table))
        _check_name(row[0], row[5].rstrip(b"\0"), at + 16)
        if entry.name in names:
            found = f"{entry.name!r} again"
            raise OperandError(_R.TOC_NAME, "name", at + 16, found, "once")
        padding = payload[entry.offset + entry.size : entry.end]
        check_zero(_R.TOC_PAD, "block padding", entry.offset + entry.size, padding)
        entries.append(entry)
        names.add(entry.name)
        start = entry.end
    return tuple(entries)


def _text(raw: bytes) -> str:
    return raw.rstrip(b"\0").decode("latin-1")


def _check_type(index: int, kind: int, at: int) -> None:
    """Entry 0 is the only integrity block, a passphrase can only be entry 1."""
    allowed: tuple[int, ...] = (TYPE_INTEGRITY,)
    if index:
        allowed = (TYPE_PASSPHRASE,) if index == 1 else ()
        allowed += (TYPE_CUSTOMER_DATA,)
    if kind not in allowed:
        right = " or ".join(str(each) for each in allowed)
        raise OperandError(_R.TOC_TYPE, "block type", at, f"0x{kind:x}", right)


def _check_block_type(kind: int, at: int) -> None:
    known = range(TYPE_INTEGRITY, TYPE_CUSTOMER_DATA + 1)
    check_range(_R.TOC_TYPE, "block type", at, kind, known)


def _check_place(entry: TocEntry, at: int, start: int, end: int, *, last: bool) -> None:
    check_number(_R.TOC_RANGE, "block offset", at + 4, entry.offset, start)
    room = range(min(MAX_BLOCK_SIZE, end - start) + 1)
    check_range(_R.TOC_RANGE, "block size", at + 8, entry.size, room)
    check_range(_R.TOC_RANGE, "block end", at + 8, entry.end, range(start, end + 1))
    if last:
        check_number(_R.TOC_RANGE, "end of the last block", at + 8, entry.end, end)


def _check_name(kind: int, raw: bytes, at: int) -> None:
    text = raw.decode("latin-1")
    right = "no name" if kind == TYPE_INTEGRITY else f"a name like {_NAME.pattern}"
    good = not text if kind == TYPE_INTEGRITY else _NAME.fullmatch(text) is not None
    if not good:
        raise OperandError(_R.TOC_NAME, "name", at, repr(text), right)
