"""FFS partition table, one entry: flag bits, values, checksum (boot-chain.md 2.1)."""

from __future__ import annotations

import struct
from dataclasses import dataclass, fields
from typing import Final

from pefstack.images.codec import Buffer
from pefstack.images.errors import FormatError

NAME: Final = "FFS table"
ENTRY_SIZE: Final = 128
RAW_NAME_SIZE: Final = 16  # with the NUL at the end
TOP_LEVEL: Final = 0xFFFFFFFF  # pid of an entry that has no parent

TYPE_DATA: Final = 1
TYPE_LOGICAL: Final = 2
TYPE_PARTITION: Final = 3  # the table itself

FLAG_PROTECTED: Final = 1
FLAG_U_BOOT_ENV: Final = 2

INTEGRITY_ECC: Final = 0x8000

VERSION_SHA512: Final = 0x80  # begins with a container header
VERSION_SHA512_PER_EC: Final = 0x40

MISC_PRESERVED: Final = 0x80
MISC_READ_ONLY: Final = 0x40
MISC_BACKUP: Final = 0x20  # skiboot's word; pseudo in Hostboot
MISC_REPROVISION: Final = 0x10
MISC_VOLATILE: Final = 0x08
MISC_CLEAR_ECC: Final = 0x04
MISC_GOLDEN: Final = 0x01

_ENTRY: Final = struct.Struct(">16s7I16sBBHBB58sI")


@dataclass(frozen=True, slots=True, kw_only=True)
class FfsEntry:
    """One partition, 128 bytes; ``base`` and ``size`` in blocks, ``actual`` in bytes.

    ``name_rest`` is what stands behind the NUL of the name, trailing zeros left out.
    """

    name: str
    name_rest: bytes = b""
    base: int
    size: int
    pid: int = TOP_LEVEL
    id: int = 0
    type: int = TYPE_DATA
    flags: int = 0
    actual: int
    reserved: bytes = bytes(16)
    chip_select: int = 0
    compression: int = 0
    data_integrity: int = 0
    version_check: int = 0
    misc: int = 0
    user_rest: bytes = bytes(58)

    @classmethod
    def from_bytes(cls, raw: Buffer, *, offset: int = 0) -> FfsEntry:
        """Exactly 128 bytes, which stand at ``offset`` of what errors speak of.

        Raises `FormatError` for a bad checksum, then for a name without its NUL.
        """
        if len(raw) != ENTRY_SIZE:
            found = f"0x{len(raw):x} bytes"
            raise FormatError(NAME, "entry", offset, found, "0x80 bytes")
        raw_name, *numbers, checksum = _ENTRY.unpack(raw)
        name, nul, rest = raw_name.partition(b"\0")
        text = name.decode("latin-1")  # has a letter for every byte
        check_checksum(f"entry {text!r} checksum", offset, bytes(raw), checksum)
        if not nul:
            where = f"entry {text!r} name"
            raise FormatError(NAME, where, offset, "16 letters", "at most 15")
        values = dict(zip(_NUMBERS, numbers, strict=True))
        return cls(name=text, name_rest=rest.rstrip(b"\0"), **values)

    def to_bytes(self) -> bytes:
        """128 bytes with the checksum that follows from the others.

        Raises `FormatError` when a name or a value does not fit into its field.
        """
        values = (_raw_name(self), *(getattr(self, each) for each in _NUMBERS), 0)
        try:
            raw = _ENTRY.pack(*values)
        except struct.error as exc:
            raise FormatError(NAME, "entry", 0, str(exc), "values that fit") from None
        if _ENTRY.unpack(raw) != values:  # struct cuts and fills without a word
            raise FormatError(NAME, "entry", 0, "bytes of another size", "16 and 58")
        return with_checksum(raw)

    @property
    def has_ecc(self) -> bool:
        """Hostboot's test, equality; skiboot looks at the one bit."""
        return self.data_integrity == INTEGRITY_ECC

    @property
    def has_container(self) -> bool:
        """Whether the content begins with a 4096-byte container header."""
        return bool(self.version_check & VERSION_SHA512)


_NUMBERS: Final = [each.name for each in fields(FfsEntry)][2:]


def check_checksum(field: str, offset: int, raw: bytes, checksum: int) -> None:
    """XOR of all 32-bit words, the checksum at the end among them, must be zero.

    ``offset`` is where ``raw`` begins; raises `FormatError` at its last word.
    """
    if rest := _xor(raw):
        end = offset + len(raw) - 4
        right = f"0x{checksum ^ rest:08x}"
        raise FormatError(NAME, field, end, f"0x{checksum:08x}", right)


def with_checksum(raw: bytes) -> bytes:
    """The same bytes with a last word that makes the XOR of all words zero."""
    return raw[:-4] + _xor(raw[:-4]).to_bytes(4, "big")


def _xor(raw: bytes) -> int:
    """Of all 32-bit words: half upon half, until one word is left."""
    value = int.from_bytes(raw, "big")
    size = 32 << (len(raw) // 4 - 1).bit_length()  # bits, a power of two
    while size > 32:
        size //= 2
        value = value >> size ^ value & (1 << size) - 1
    return value


def _raw_name(entry: FfsEntry) -> bytes:
    name = entry.name.encode("latin-1", "replace")
    raw = name + b"\0" + entry.name_rest
    readable = name.decode("latin-1") == entry.name and b"\0" not in name
    if not readable or len(raw) > RAW_NAME_SIZE:
        raise FormatError(NAME, "name", 0, repr(entry.name), "at most 15 letters")
    return raw.ljust(RAW_NAME_SIZE, b"\0")
