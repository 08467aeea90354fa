"""ELF: the header of a file, both classes and both byte orders (esm.md 6.1, 6.2)."""

from __future__ import annotations

import struct
from dataclasses import asdict, dataclass
from typing import Final, Literal

from pefstack.images.codec import Buffer
from pefstack.images.errors import FormatError

NAME: Final = "ELF"
MAGIC: Final = b"\x7fELF"
IDENT_SIZE: Final = 16
VERSION: Final = 1
ET_EXEC: Final = 2
ET_DYN: Final = 3
EM_PPC: Final = 20
EM_PPC64: Final = 21
LORESERVE: Final = 0xFF00  # section numbers from here on mean something else

ByteOrder = Literal["little", "big"]
_CLASSES: Final = {1: 32, 2: 64}
_ORDERS: Final[dict[int, ByteOrder]] = {1: "little", 2: "big"}
_LAYOUTS: Final = {32: "HHIIIIIHHHHHH", 64: "HHIQQQIHHHHHH"}
_FIELDS: Final = (
    "e_type",
    "e_machine",
    "e_version",
    "e_entry",
    "e_phoff",
    "e_shoff",
    "e_flags",
    "e_ehsize",
    "e_phentsize",
    "e_phnum",
    "e_shentsize",
    "e_shnum",
    "e_shstrndx",
)
HEADER_SIZES: Final = {32: 52, 64: 64}
SEGMENT_SIZES: Final = {32: 32, 64: 56}
SECTION_SIZES: Final = {32: 40, 64: 64}


@dataclass(frozen=True, slots=True, kw_only=True)
class ElfHeader:
    """52 or 64 bytes; ``bits`` and ``order`` are the class and the byte order.

    Names and meanings are those of the ELF specification; offsets and sizes in bytes.
    """

    bits: int = 64
    order: ByteOrder = "little"
    e_type: int = ET_EXEC
    e_machine: int = EM_PPC64
    e_version: int = VERSION
    e_entry: int = 0
    e_phoff: int = 0
    e_shoff: int = 0
    e_flags: int = 0
    e_ehsize: int = 64
    e_phentsize: int = 56
    e_phnum: int = 0
    e_shentsize: int = 64
    e_shnum: int = 0
    e_shstrndx: int = 0

    @classmethod
    def from_prefix(cls, raw: Buffer) -> tuple[ElfHeader, int]:
        """The header at the start of ``raw``, and its size.

        Raises `FormatError` for another magic, class, byte order or version, another
        size of an entry, and tables that leave ``raw``.
        """
        ident = bytes(raw[:IDENT_SIZE])
        bits, order = _ident(ident)
        layout, size = layout_of(order, _LAYOUTS[bits]), HEADER_SIZES[bits]
        if len(raw) < size:
            found = f"0x{len(raw):x} bytes"
            raise FormatError(NAME, "header", 0, found, f"0x{size:x} bytes")
        values = zip(_FIELDS, layout.unpack_from(raw, IDENT_SIZE), strict=True)
        header = cls(bits=bits, order=order, **dict(values))
        _check(header, len(raw))
        return header, size

    def to_bytes(self) -> bytes:
        """The header; `FormatError` if a value does not fit into its field."""
        values = asdict(self)
        ident = MAGIC + bytes([self.bits // 32, 1 + (self.order == "big"), VERSION])
        try:
            rest = layout_of(self.order, _LAYOUTS[self.bits]).pack(
                *(values[each] for each in _FIELDS)
            )
        except struct.error as exc:
            raise FormatError(NAME, "header", 0, str(exc), "values that fit") from None
        return ident.ljust(IDENT_SIZE, b"\0") + rest


def layout_of(order: ByteOrder, fields: str) -> struct.Struct:
    """Numbers without gaps in this byte order."""
    return struct.Struct((">" if order == "big" else "<") + fields)


def _ident(ident: bytes) -> tuple[int, ByteOrder]:
    if ident[:4] != MAGIC:
        found = ident[:4].hex() or "the end"
        raise FormatError(NAME, "EI_MAG", 0, found, MAGIC.hex())
    if len(ident) < IDENT_SIZE:
        found = f"0x{len(ident):x} bytes"
        raise FormatError(NAME, "e_ident", 0, found, f"0x{IDENT_SIZE:x} bytes")
    if ident[4] not in _CLASSES:
        raise FormatError(NAME, "EI_CLASS", 4, f"0x{ident[4]:x}", "1 or 2")
    if ident[5] not in _ORDERS:
        raise FormatError(NAME, "EI_DATA", 5, f"0x{ident[5]:x}", "1 or 2")
    if ident[6] != VERSION:
        raise FormatError(NAME, "EI_VERSION", 6, f"0x{ident[6]:x}", f"0x{VERSION:x}")
    return _CLASSES[ident[4]], _ORDERS[ident[5]]


def _check(header: ElfHeader, size: int) -> None:
    if header.e_version != VERSION:
        raise _wrong(header, "e_version", f"0x{VERSION:x}")
    if header.e_shnum >= LORESERVE or (header.e_shoff and not header.e_shnum):
        raise _wrong(header, "e_shnum", f"0x1 to 0x{LORESERVE - 1:x}")
    if header.e_shnum and header.e_shstrndx >= header.e_shnum:
        raise _wrong(header, "e_shstrndx", f"less than 0x{header.e_shnum:x}")
    _check_table(header, "ph", SEGMENT_SIZES[header.bits], size)
    _check_table(header, "sh", SECTION_SIZES[header.bits], size)


def _check_table(header: ElfHeader, table: str, entry_size: int, size: int) -> None:
    count = getattr(header, f"e_{table}num")
    if not count:
        return
    if getattr(header, f"e_{table}entsize") != entry_size:
        raise _wrong(header, f"e_{table}entsize", f"0x{entry_size:x}")
    if getattr(header, f"e_{table}off") + count * entry_size > size:
        last = max(0, size - count * entry_size)
        raise _wrong(header, f"e_{table}off", f"at most 0x{last:x}")


def _wrong(header: ElfHeader, field: str, expected: str) -> FormatError:
    before = _LAYOUTS[header.bits][: _FIELDS.index(field)]
    at = IDENT_SIZE + layout_of(header.order, before).size
    return FormatError(NAME, field, at, f"0x{getattr(header, field):x}", expected)
