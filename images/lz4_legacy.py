"""LZ4 legacy frames, which Linux uses and the lz4 module does not know (esm.md 6.3)."""

from __future__ import annotations

from typing import Final

from pefstack.images.codec import Buffer

MAGIC: Final = b"\x02\x21\x4c\x18"
BLOCK_SIZE: Final = 0x800000  # what one block holds at most
MAX_PACKED_SIZE: Final = BLOCK_SIZE + BLOCK_SIZE // 255 + 16
MAX_BLOCK_COUNT: Final = 0x1000
_LENGTH_SIZE: Final = 4


class Lz4LegacyError(Exception):
    """Data that are no legacy frame."""


class Lz4LegacyStream:
    """One legacy stream, with the interface of the decompressors of the library.

    The format has no end mark: it goes on to the end of the data, over further magics.
    A length of zero also ends it (a project decision, for data that are padded).
    """

    def __init__(self) -> None:
        self.eof = False
        self.unused_data = b""

    def decompress(self, data: Buffer, max_length: int, /) -> bytes:
        """All blocks, but no more than ``max_length`` bytes: then the rest is left.

        Raises `Lz4LegacyError` for a block that is cut, broken or too large.
        """
        view, at, room, parts = memoryview(data), len(MAGIC), max_length, list[bytes]()
        while room and not self._ends(view, at):
            if len(parts) == MAX_BLOCK_COUNT:
                raise Lz4LegacyError(f"more than {MAX_BLOCK_COUNT} blocks")
            block, at = _block_at(view, at)
            parts.append(block[:room])
            room -= len(parts[-1])
        return b"".join(parts)

    def _ends(self, view: memoryview, at: int) -> bool:
        self.eof = at == len(view) or bytes(view[at : at + _LENGTH_SIZE]) == bytes(4)
        if self.eof:
            self.unused_data = bytes(view[at:])
        return self.eof


def _block_at(view: memoryview, at: int) -> tuple[bytes, int]:
    """The content of the block at ``at`` and where the next begins."""
    import lz4.block

    if bytes(view[at : at + len(MAGIC)]) == MAGIC:
        at += len(MAGIC)
    start = at + _LENGTH_SIZE
    size = int.from_bytes(view[at:start], "little")
    if start + size > len(view) or not 0 < size <= MAX_PACKED_SIZE:
        raise Lz4LegacyError(f"block of 0x{size:x} bytes at 0x{at:x}")
    try:
        block = lz4.block.decompress(view[start : start + size], BLOCK_SIZE)
    except lz4.block.LZ4BlockError as broken:
        raise Lz4LegacyError(f"block at 0x{at:x}: {broken}") from None
    return block, start + size
