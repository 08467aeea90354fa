"""cpio archive, new ASCII format: the header in front of each file (esm.md 6.3)."""

from __future__ import annotations

import re
import struct
from dataclasses import astuple, dataclass
from typing import Final

from pefstack.images.codec import Buffer
from pefstack.images.errors import FormatError

NAME: Final = "cpio"
MAGIC: Final = b"070701"
MAGIC_CRC: Final = b"070702"  # the same with a checksum; ends the search for a blob
HEADER_SIZE: Final = 110
FIELD_SIZE: Final = 8
ALIGNMENT: Final = 4
FIELD_NAMES: Final = (
    "ino",
    "mode",
    "uid",
    "gid",
    "nlink",
    "mtime",
    "filesize",
    "devmajor",
    "devminor",
    "rdevmajor",
    "rdevminor",
    "namesize",
    "check",
)
OFFSETS: Final = {
    name: len(MAGIC) + FIELD_SIZE * i for i, name in enumerate(FIELD_NAMES)
}
MAX_NAME_SIZE: Final = 4096  # as Linux (PATH_MAX), NUL included

_DIGITS: Final = re.compile(rb"[0-9A-Fa-f]*")
_FIELDS: Final = struct.Struct(f">{len(FIELD_NAMES)}I")


@dataclass(frozen=True, slots=True, kw_only=True)
class CpioHeader:
    """110 bytes: the magic, then 13 numbers of 8 hexadecimal digits each.

    ``namesize`` counts the NUL; ``check`` is the sum of all bytes of the data where the
    magic says so, else 0.
    """

    ino: int = 0
    mode: int = 0
    uid: int = 0
    gid: int = 0
    nlink: int = 1
    mtime: int = 0
    filesize: int = 0
    devmajor: int = 0
    devminor: int = 0
    rdevmajor: int = 0
    rdevminor: int = 0
    namesize: int
    check: int = 0

    @classmethod
    def from_prefix(cls, raw: Buffer, at: int = 0) -> CpioHeader:
        """The header at ``at``, which is an offset into ``raw`` as in all errors.

        Either magic is taken, and digits of either case. Raises `FormatError` for
        another magic, bytes that are no digits, and when ``raw`` ends.
        """
        check_magic(raw, at, (MAGIC, MAGIC_CRC))
        digits = _digits(raw, at + len(MAGIC), HEADER_SIZE - len(MAGIC))
        numbers = _FIELDS.unpack(bytes.fromhex(digits))
        return cls(**dict(zip(FIELD_NAMES, numbers, strict=True)))

    def to_bytes(self) -> bytes:
        """110 bytes, without checksum; `FormatError` if a number has over 32 bits."""
        try:
            numbers = _FIELDS.pack(*astuple(self))
        except struct.error as exc:
            found = str(exc)
            raise FormatError(NAME, "header", 0, found, "32-bit numbers") from None
        return MAGIC + numbers.hex().upper().encode("ascii")


def check_magic(raw: Buffer, at: int, magics: tuple[bytes, ...]) -> None:
    """Nothing, or `FormatError` where no whole header with such a magic begins."""
    found = bytes(raw[at : at + len(MAGIC)])
    if found not in magics:
        right = " or ".join(each.decode("ascii") for each in magics)
        text = repr(found) if found else "the end"
        raise FormatError(NAME, "magic", at, text, right)
    if at + HEADER_SIZE > len(raw):
        room = f"0x{len(raw) - at:x} bytes"
        raise FormatError(NAME, "header", at, room, f"0x{HEADER_SIZE:x} bytes")


def number_at(raw: Buffer, at: int, field: str) -> int:
    """One number of the header at ``at``, without a look at the others.

    Raises `FormatError` where it is not 8 hexadecimal digits.
    """
    return int(_digits(raw, at + OFFSETS[field], FIELD_SIZE, field), 16)


def _digits(raw: Buffer, at: int, size: int, field: str = "header") -> str:
    digits = bytes(raw[at : at + size])
    good = _DIGITS.match(digits)
    count = good.end() if good else 0
    if count != size:
        found = digits[count : count + 1].hex() or "the end"
        raise FormatError(NAME, field, at + count, found, "a hexadecimal digit")
    return digits.decode("ascii")


def aligned(at: int, alignment: int = ALIGNMENT) -> int:
    """``at``, rounded up."""
    return -(-at // alignment) * alignment
