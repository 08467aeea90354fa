"""Device tree: a node, and what the bytes of a property mean (esm.md 1.1, 1.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pefstack.images.errors import FormatError
from pefstack.images.fdt_header import NAME

MAX_DEPTH: Final = 64  # as Linux (FDT_MAX_DEPTH)
MAX_NODE_COUNT: Final = 0x10000
MAX_PROPERTY_COUNT: Final = 0x40000
MAX_NAME_SIZE: Final = 255  # without its NUL

Property = tuple[str, bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class FdtNode:
    """One node; properties and children in the order of the struct block.

    ``name`` has the unit address; that of the root is empty. Where a name stands twice
    the first counts. Offsets in the errors of the readers count from the start of the
    property's value.
    """

    name: str = ""
    properties: tuple[Property, ...] = ()
    children: tuple[FdtNode, ...] = ()

    def get(self, name: str) -> bytes | None:
        """The bytes of a property, if the node has it."""
        return next((value for key, value in self.properties if key == name), None)

    def child(self, name: str) -> FdtNode | None:
        """The child of exactly this name, if there is one."""
        return next((each for each in self.children if each.name == name), None)

    def value(self, name: str) -> bytes:
        """The bytes of a property; `FormatError` if the node does not have it."""
        value = self.get(name)
        if value is None:
            raise FormatError(NAME, f"property {name}", 0, "none", "one")
        return value

    def u32(self, name: str) -> int:
        """A number of exactly 4 bytes; `FormatError` for another length or none."""
        return self._number(name, (4,))

    def u64(self, name: str) -> int:
        """A number of exactly 8 bytes; `FormatError` for another length or none."""
        return self._number(name, (8,))

    def number(self, name: str) -> int:
        """A number of one cell or two, as guests give addresses (real-guest.md).

        Raises `FormatError` for a length that is neither 4 nor 8, or no property.
        """
        return self._number(name, (4, 8))

    def cells(self, name: str, size: int = 4) -> tuple[int, ...]:
        """Numbers of ``size`` bytes each, usually 4 or 8; none in an empty value.

        Raises `FormatError` if the length is not a multiple of it, or no property.
        """
        value = self.value(name)
        if size < 1 or len(value) % size:
            expected = f"a multiple of 0x{size:x} bytes"
            raise _misfit(name, len(value), f"0x{len(value):x} bytes", expected)
        starts = range(0, len(value), size)
        return tuple(int.from_bytes(value[at : at + size], "big") for at in starts)

    def string(self, name: str) -> str:
        """One string, UTF-8, without the NUL at its end.

        Raises `FormatError` for no NUL there, one elsewhere, other bytes than UTF-8, or
        no property.
        """
        value = self.value(name)
        end = value.find(b"\0")
        if end < 0 or end != len(value) - 1:
            found = "none" if end < 0 else f"one at 0x{end:x}"
            raise _misfit(name, max(end, 0), found, "one NUL, at the end")
        return _text(name, value, 0, end)

    def strings(self, name: str) -> tuple[str, ...]:
        """At least one string, a NUL behind each; errors as `string`."""
        value = self.value(name)
        if not value.endswith(b"\0"):
            raise _misfit(name, len(value), "the end", "a NUL at the end")
        found, at = [], 0
        for each in value[:-1].split(b"\0"):
            found.append(_text(name, value, at, at + len(each)))
            at += len(each) + 1
        return tuple(found)

    def _number(self, name: str, sizes: tuple[int, ...]) -> int:
        value = self.value(name)
        if len(value) not in sizes:
            expected = f"{' or '.join(map(str, sizes))} bytes"
            raise _misfit(name, 0, f"0x{len(value):x} bytes", expected)
        return int.from_bytes(value, "big")


def _text(name: str, value: bytes, start: int, end: int) -> str:
    try:
        return value[start:end].decode()
    except UnicodeDecodeError as exc:
        at = start + exc.start
        raise _misfit(name, at, f"0x{value[at]:02x}", "UTF-8") from None


def _misfit(name: str, at: int, found: str, expected: str) -> FormatError:
    return FormatError(NAME, f"property {name}", at, found, expected)


def is_name(text: str) -> bool:
    """Whether a node or property may be called so: visible ASCII, not too long.

    A slash could be reached by no path.
    """
    visible = text.isascii() and text.isprintable()
    return visible and 0 < len(text) <= MAX_NAME_SIZE and not set(text) & {" ", "/"}
