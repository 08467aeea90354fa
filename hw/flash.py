"""The PNOR flash: bytes behind ECC; corrected words are counted, lost ones reported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pefstack.hw.errors import DeviceError
from pefstack.hw.journal import Journal
from pefstack.images import ecc

SECTOR_SIZE: Final = 0x1000

Content = bytes | memoryview


@dataclass(frozen=True, slots=True, kw_only=True)
class EccRead:
    """What came through the ECC: data, and flash offsets of the words that did not."""

    data: bytes
    corrected: tuple[int, ...] = ()
    uncorrectable: tuple[int, ...] = ()


class Flash:
    """A flash chip: an image that is never changed, and the sectors written since.

    ``corrected_count`` counts the single-bit errors corrected since power-on.
    """

    __slots__ = ("_image", "_journal", "_sectors", "corrected_count", "size")

    def __init__(self, image: Content, journal: Journal) -> None:
        self._image: memoryview = memoryview(image)
        self._journal = journal
        self._sectors: dict[int, bytes] = {}
        self.size: Final = len(image)
        self.corrected_count = 0

    def read(self, offset: int, size: int) -> Content:
        """``size`` raw bytes; `DeviceError` outside the flash."""
        self._check(offset, size)
        last = (offset + size - 1) // SECTOR_SIZE
        touched = self._sectors and any(
            offset // SECTOR_SIZE <= number <= last for number in self._sectors
        )
        if not touched:
            return self._image[offset : offset + size]
        return self._patched(offset, size)

    def peek_ecc(self, offset: int, size: int) -> ecc.Decoded:
        """Look through the ECC at ``size`` raw bytes; counts and reports nothing."""
        return ecc.decode(self.read(offset, size))

    def read_ecc(self, offset: int, size: int) -> EccRead:
        """Read ``size`` raw bytes through the ECC.

        Each corrected word is counted and put into the journal, as is each that two
        or more flipped bits made uncorrectable; its data is passed on as it stands.
        """
        found = self.peek_ecc(offset, size)
        corrected = tuple(offset + 9 * each.word for each in found.corrected)
        lost = tuple(offset + 9 * word for word in found.uncorrectable)
        self.corrected_count += len(corrected)
        for kind, words in (("ecc-corrected", corrected), ("ecc-uncorrectable", lost)):
            if words:
                self._journal.add("flash", kind, offset=words[0], count=len(words))
        return EccRead(data=found.data, corrected=corrected, uncorrectable=lost)

    def write(self, offset: int, data: bytes) -> None:
        """Write raw bytes; `DeviceError` outside the flash."""
        self._check(offset, len(data))
        end = offset + len(data)
        for number in range(offset // SECTOR_SIZE, -(-end // SECTOR_SIZE)):
            start = number * SECTOR_SIZE
            size = min(SECTOR_SIZE, self.size - start)
            sector = bytearray(self.read(start, size))
            low, high = max(offset, start), min(end, start + size)
            sector[low - start : high - start] = data[low - offset : high - offset]
            self._sectors[number] = bytes(sector)

    def fork(self, journal: Journal) -> Flash:
        """The same content, with a future of its own; the image itself is shared."""
        other = Flash(self._image, journal)
        other._sectors = dict(self._sectors)
        other.corrected_count = self.corrected_count
        return other

    def __reduce__(self) -> tuple[object, ...]:
        state = self._sectors, self.corrected_count
        return _restore, (bytes(self._image), self._journal, state)

    def _patched(self, offset: int, size: int) -> bytes:
        window = bytearray(self._image[offset : offset + size])
        for number, sector in self._sectors.items():
            start = number * SECTOR_SIZE
            low, high = max(offset, start), min(offset + size, start + len(sector))
            if low < high:
                window[low - offset : high - offset] = sector[
                    low - start : high - start
                ]
        return bytes(window)

    def _check(self, offset: int, size: int) -> None:
        if offset < 0 or size < 0 or offset + size > self.size:
            raise DeviceError("flash", offset, f"no {size} bytes at this offset")


def _restore(
    image: bytes, journal: Journal, state: tuple[dict[int, bytes], int]
) -> Flash:
    flash = Flash(image, journal)
    flash._sectors, flash.corrected_count = state
    return flash
