"""A processor SEEPROM: a few hundred KiB that the SBE starts from."""

from __future__ import annotations

from pefstack.hw.chip import Chip
from pefstack.hw.errors import DeviceError


class Seeprom:
    """Bytes with a write lock. A `write` asks the lock; `reprogram` is a clip on the
    chip's legs, for tests and faults.

    ``locked`` is the lock for good; with a ``chip`` its SBE update lock counts too.
    """

    __slots__ = ("_chip", "_content", "locked")

    def __init__(
        self, content: bytes, *, locked: bool, chip: Chip | None = None
    ) -> None:
        self._content = content
        self._chip = chip
        self.locked = locked

    @property
    def content(self) -> bytes:
        """All of it, as it is now."""
        return self._content

    def write(self, offset: int, data: bytes) -> None:
        """Write as firmware does; `DeviceError` if locked or outside."""
        self._check_lock(offset)
        self.reprogram(offset, data)

    def replace(self, content: bytes) -> None:
        """Write a whole image, of whatever size, as firmware does; or `DeviceError`."""
        self._check_lock(0)
        self._content = content

    def reprogram(self, offset: int, data: bytes) -> None:
        """Write past the lock; `DeviceError` outside the SEEPROM."""
        end = offset + len(data)
        if offset < 0 or end > len(self._content):
            raise DeviceError("seeprom", offset, f"no {len(data)} bytes at this offset")
        self._content = self._content[:offset] + data + self._content[end:]

    def fork(self, chip: Chip | None = None) -> Seeprom:
        """The same content, with a future of its own, behind the lock of ``chip``."""
        return Seeprom(self._content, locked=self.locked, chip=chip)

    def _check_lock(self, offset: int) -> None:
        if self.locked or (self._chip is not None and self._chip.update_locked):
            raise DeviceError("seeprom", offset, "the SEEPROM is write-locked")
