"""Fixed layouts: named big-endian fields, one behind the other, and their bytes."""

from __future__ import annotations

import struct
from typing import Any, Final

from pefstack.images.errors import FormatError

Buffer = bytes | bytearray | memoryview

U8: Final = "B"
U16: Final = "H"
U32: Final = "I"
U64: Final = "Q"


def octets(size: int) -> str:
    """A field of so many bytes."""
    return f"{size}s"


class Layout:
    """The fields of one structure in their order, each of a fixed size."""

    def __init__(self, format_name: str, /, **codes: str) -> None:
        self.format_name: Final = format_name
        self._codes: Final = {name: f">{code}" for name, code in codes.items()}
        self._whole: Final = struct.Struct(">" + "".join(codes.values()))
        self.size: Final = self._whole.size

    def parse_all(self, raw: Buffer) -> dict[str, Any]:
        """Name to value; bytes left over are a `FormatError`, too few as well."""
        values = self.parse_prefix(raw)
        if rest := len(raw) - self.size:
            found = f"0x{rest:x} bytes left over"
            raise FormatError(
                self.format_name, "end", self.size, found, "no more bytes"
            )
        return values

    def parse_prefix(self, raw: Buffer) -> dict[str, Any]:
        """Name to value, of the first `size` bytes; `FormatError` if there are fewer.

        The error names the field that is cut, at the place where the bytes end.
        """
        if len(raw) < self.size:
            raise self._cut(len(raw))
        return dict(zip(self._codes, self._whole.unpack_from(raw), strict=True))

    def build(self, value: object, **others: Any) -> bytes:
        """`size` bytes of the attributes of ``value``, or of what is given instead.

        What does not fit into its field is a `FormatError`.
        """
        names = self._codes
        row = tuple(others[n] if n in others else getattr(value, n) for n in names)
        try:
            raw = self._whole.pack(*row)
        except struct.error:
            raise self._misfit(row) from None
        if self._whole.unpack(raw) != row:  # struct cuts and fills without a word
            raise self._misfit(row)
        return raw

    @property
    def offsets(self) -> dict[str, int]:
        """Where each field begins."""
        starts, at = {}, 0
        for name, code in self._codes.items():
            starts[name] = at
            at += struct.calcsize(code)
        return starts

    def _cut(self, size: int) -> FormatError:
        """Of the last field that begins within ``size`` bytes."""
        begun = [each for each in self.offsets.items() if each[1] <= size]
        name, start = begun[-1]
        whole = struct.calcsize(self._codes[name])
        found = f"0x{size - start:x} bytes"
        return FormatError(self.format_name, name, size, found, f"0x{whole:x} bytes")

    def _misfit(self, row: tuple[Any, ...]) -> FormatError:
        """Of the first field that its value does not fit into."""
        fields = zip(self._codes.items(), row, strict=True)
        name, code, value = next(
            (name, code, value)
            for (name, code), value in fields
            if not _fits(code, value)
        )
        wanted = f"a value of 0x{struct.calcsize(code):x} bytes"
        return FormatError(self.format_name, name, 0, _told(value), wanted)


def _fits(code: str, value: Any) -> bool:
    try:
        return struct.unpack(code, struct.pack(code, value)) == (value,)
    except struct.error:
        return False


def _told(value: Any) -> str:
    """A value for reading: a number itself, of bytes how many they are."""
    if isinstance(value, int):
        return f"{'-' if value < 0 else ''}0x{abs(value):x}"
    return f"0x{len(value):x} bytes" if isinstance(value, bytes) else repr(value)
