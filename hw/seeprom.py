"""A processor SEEPROM: a few hundred KiB that the SBE starts from."""

from __future__ import annotations

from pefstack.hw.errors import DeviceError


class Seeprom:
    """Bytes with a write lock. A `write` asks the lock; `reprogram` is a clip on the
    chip's legs, for tests and faults."""

    __slots__ = ("_content", "locked")

    def __init__(self, content: bytes, *, locked: bool) -> None:
        self._content = content
        self.locked = locked

    @property
    def content(self) -> bytes:
        """All of it, as it is now."""
        return self._content

    def write(self, offset: int, data: bytes) -> None:
        """Write as firmware does; `DeviceError` if locked or outside."""
        if self.locked:
            raise DeviceError("seeprom", offset, "the SEEPROM is write-locked")
        self.reprogram(offset, data)

    def reprogram(self, offset: int, data: bytes) -> None:
        """Write past the lock; `DeviceError` outside the SEEPROM."""
        end = offset + len(data)
        if offset < 0 or end > len(self._content):
            raise DeviceError("seeprom", offset, f"no {len(data)} bytes at this offset")
        self._content = self._content[:offset] + data + self._content[end:]

    def fork(self) -> Seeprom:
        """The same content, with a future of its own."""
        return Seeprom(self._content, locked=self.locked)
