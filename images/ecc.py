"""ECC of flash: one check byte behind every 8 data bytes (boot-chain.md 2.2)."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import compress, count
from typing import Final, NamedTuple

from pefstack.images.codec import Buffer
from pefstack.images.errors import FormatError

NAME: Final = "ECC data"
WORD_SIZE: Final = 8
RAW_WORD_SIZE: Final = 9
ECC_BIT: Final = 64  # numbers from here on are bits of the check byte
BLANK_WORD: Final = b"\xff" * WORD_SIZE + b"\0"  # a blank partition repeats it

# columns of a chunk of this many words stay in the second-level cache
_CHUNK_WORDS: Final = 1 << 14

# ECC bit i, counted from the least significant one, is the parity of row i and the word
_FIRST_ROW: Final = 0x0000E8423C0F99FF
_GOOD: Final = 0x80
_UNCORRECTABLE: Final = 0xFF


class Correction(NamedTuple):
    """One bit that was flipped: its word, and its place in the nine bytes.

    ``bit`` 0 is the most significant data bit, 63 the least significant one; 64 to 71
    are the bits of the check byte, again from the most significant one on.
    """

    word: int
    bit: int

    @property
    def in_data(self) -> bool:
        """Whether the bit is one of the 64 data bits."""
        return self.bit < ECC_BIT


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """Data without ECC, and what was wrong with it.

    ``corrected`` and ``uncorrectable`` number words of 8 data bytes, in rising order.
    The data of an uncorrectable word stands as it was read.
    """

    data: bytes
    corrected: tuple[Correction, ...] = ()
    uncorrectable: tuple[int, ...] = ()


def raw_size(data_size: int) -> int:
    """Bytes in flash of ``data_size`` bytes of data; a part of a word takes a whole."""
    return -(-data_size // WORD_SIZE) * RAW_WORD_SIZE


def data_size(raw_size: int) -> int:
    """Bytes of data in ``raw_size`` bytes of flash; the rest of a word holds none."""
    return raw_size // RAW_WORD_SIZE * WORD_SIZE


def encode(data: Buffer) -> bytes:
    """The data with its ECC, 9 bytes for 8; `FormatError` unless in whole words."""
    words = _whole_words("data size", len(data), WORD_SIZE)
    source = memoryview(data)
    result = io.BytesIO(bytes(words * RAW_WORD_SIZE))
    with result.getbuffer() as raw:
        for first in range(0, words, _CHUNK_WORDS):
            chunk = bytes(source[first * WORD_SIZE :][: _CHUNK_WORDS * WORD_SIZE])
            encoded = _encode_chunk(chunk)
            start = first * RAW_WORD_SIZE
            raw[start : start + len(encoded)] = encoded
    return result.getvalue()  # hands its buffer over, copies nothing


def decode(raw: Buffer) -> Decoded:
    """The data of ``raw`` with single flipped bits put right.

    Raises `FormatError` unless ``raw`` consists of whole words of 9 bytes; use
    ``raw[:raw_size(data_size(len(raw)))]`` for a partition of any size.
    """
    words = _whole_words("raw size", len(raw), RAW_WORD_SIZE)
    source = memoryview(raw)
    faults: list[tuple[int, bytes]] = []
    result = io.BytesIO(bytes(words * WORD_SIZE))
    with result.getbuffer() as data:
        for first in range(0, words, _CHUNK_WORDS):
            chunk = source[first * RAW_WORD_SIZE :][: _CHUNK_WORDS * RAW_WORD_SIZE]
            decoded, syndromes = _decode_chunk(bytes(chunk))
            start = first * WORD_SIZE
            data[start : start + len(decoded)] = decoded
            if syndromes:
                faults.append((first, syndromes))
        corrected = tuple(_correct(data, faults))
    return Decoded(
        data=result.getvalue(),  # hands its buffer over, copies nothing
        corrected=corrected,
        uncorrectable=tuple(_uncorrectable(faults)),
    )


def _whole_words(field: str, size: int, word_size: int) -> int:
    words, rest = divmod(size, word_size)
    if rest:
        raise FormatError(
            NAME, field, size - rest, f"0x{size:x} bytes", f"a multiple of {word_size}"
        )
    return words


def _encode_chunk(data: bytes) -> bytearray:
    words = len(data) // WORD_SIZE
    raw = bytearray(words * RAW_WORD_SIZE)
    ecc = 0
    for place, table in enumerate(_BYTE_ECC):
        column = data[place::WORD_SIZE]
        raw[place::RAW_WORD_SIZE] = column
        ecc ^= int.from_bytes(column.translate(table), "little")
    raw[WORD_SIZE::RAW_WORD_SIZE] = ecc.to_bytes(words, "little")
    return raw


def _decode_chunk(raw: bytes) -> tuple[bytearray, bytes]:
    """The data as it stands, and a syndrome for every word, none if all are zero."""
    words = len(raw) // RAW_WORD_SIZE
    data = bytearray(words * WORD_SIZE)
    syndromes = int.from_bytes(raw[WORD_SIZE::RAW_WORD_SIZE], "little")
    for place, table in enumerate(_BYTE_ECC):
        column = raw[place::RAW_WORD_SIZE]
        data[place::WORD_SIZE] = column
        syndromes ^= int.from_bytes(column.translate(table), "little")
    return data, syndromes.to_bytes(words, "little") if syndromes else b""


def _correct(data: memoryview, faults: list[tuple[int, bytes]]) -> Iterator[Correction]:
    """Flip what can be known to be flipped back, in ``data``."""
    for first, syndromes in faults:
        places = syndromes.translate(_FLIPPED_BIT)
        wrong = syndromes.translate(_IS_CORRECTABLE)
        for index, bit in compress(enumerate(places), wrong):
            if bit < ECC_BIT:
                byte = (first + index) * WORD_SIZE + bit // 8
                data[byte] ^= 0x80 >> bit % 8
            yield Correction(first + index, bit)


def _uncorrectable(faults: list[tuple[int, bytes]]) -> Iterator[int]:
    for first, syndromes in faults:
        yield from compress(count(first), syndromes.translate(_IS_UNCORRECTABLE))


def _column(bit: int) -> int:
    """The ECC of a word in which only this bit is set; bit 0 is the most significant.

    Row i is the first row rotated left by i bytes, so ECC bit i looks at the bit of the
    first row that stands i bytes to the right.
    """
    place = 63 - bit
    rows = (_FIRST_ROW >> (place - 8 * row) % 64 & 1 for row in range(8))
    return sum(value << row for row, value in enumerate(rows))


def _byte_ecc(place: int) -> bytes:
    """For each value of the byte at this place of a word, its share of the ECC."""
    table = [0]
    for bit in range(8 * place + 7, 8 * place - 1, -1):
        table += [_COLUMNS[bit] ^ known for known in table]
    return bytes(table)


def _flipped_bits() -> bytes:
    """For each syndrome the bit that explains it, or that there is none."""
    table = bytearray([_UNCORRECTABLE]) * 256
    table[0] = _GOOD
    for bit in range(ECC_BIT):
        table[_COLUMNS[bit]] = bit
    for bit in range(8):
        table[0x80 >> bit] = ECC_BIT + bit
    return bytes(table)


_COLUMNS: Final = tuple(_column(bit) for bit in range(ECC_BIT))
_BYTE_ECC: Final = tuple(_byte_ecc(place) for place in range(WORD_SIZE))
_FLIPPED_BIT: Final = _flipped_bits()
_IS_CORRECTABLE: Final = bytes(bit < _GOOD for bit in _FLIPPED_BIT)
_IS_UNCORRECTABLE: Final = bytes(bit == _UNCORRECTABLE for bit in _FLIPPED_BIT)
