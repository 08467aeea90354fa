"""ECC of flash: vectors, every single and double flip, a model bit by bit."""

from __future__ import annotations

from contextlib import suppress
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pefstack.images import ecc
from pefstack.images.ecc import Correction, Decoded, decode, encode
from pefstack.images.errors import FormatError

VECTORS = Path(__file__).parents[1] / "vectors" / "boot-chain" / "ecc"
BORDER = ecc._CHUNK_WORDS
WORD = bytes.fromhex("0123456789abcdef")

ROWS = (
    0x0000E8423C0F99FF,
    0x00E8423C0F99FF00,
    0xE8423C0F99FF0000,
    0x423C0F99FF0000E8,
    0x3C0F99FF0000E842,
    0x0F99FF0000E8423C,
    0x99FF0000E8423C0F,
    0xFF0000E8423C0F99,
)


def model_ecc(word: int) -> int:
    """One ECC byte, parity by parity."""
    result = 0
    for place, row in enumerate(ROWS):
        ones = bin(row & word).count("1")
        result |= ones % 2 << place
    return result


def model_bit(syndrome: int) -> int | None:
    """The flipped one of the 72 bits that explains a syndrome."""
    for data_bit in range(64):
        if model_ecc(1 << (63 - data_bit)) == syndrome:
            return data_bit
    for check_bit in range(8):
        if 1 << (7 - check_bit) == syndrome:
            return 64 + check_bit
    return None


def model_encode(data: bytes) -> bytes:
    raw = b""
    for at in range(0, len(data), 8):
        word = data[at : at + 8]
        raw += word + bytes([model_ecc(int.from_bytes(word, "big"))])
    return raw


def flipped(raw_word: bytes, *bits: int) -> bytes:
    number = int.from_bytes(raw_word, "big")
    for bit in bits:
        number ^= 1 << (71 - bit)
    return number.to_bytes(9, "big")


RAW_WORD = model_encode(WORD)
SINGLES = [flipped(RAW_WORD, bit) for bit in range(72)]
DOUBLES = [flipped(RAW_WORD, *pair) for pair in combinations(range(72), 2)]
# before the flipped words: none, all but half of them of a chunk, a chunk
PLACES = pytest.mark.parametrize("before", [0, 1, BORDER - 36, BORDER, 2 * BORDER - 1])


def test_vector_from_the_field() -> None:
    plain = (VECTORS / "plain-4096.bin").read_bytes()
    raw = (VECTORS / "ecc-4608.bin").read_bytes()
    assert encode(plain) == raw
    assert decode(raw) == Decoded(data=plain)


@pytest.mark.parametrize(
    ("word", "check"),
    [
        ("0102030405060708", 0x7F),
        ("0000000000000001", 0xC1),
        ("8000000000000000", 0xC4),
        ("0000000000000000", 0x00),
        ("ffffffffffffffff", 0x00),
    ],
)
def test_examples(word: str, check: int) -> None:
    assert encode(bytes.fromhex(word)) == bytes.fromhex(word) + bytes([check])


def test_erased_flash_is_uncorrectable() -> None:
    erased = decode(b"\xff" * 27)
    assert erased == Decoded(data=b"\xff" * 24, uncorrectable=(0, 1, 2))


def test_blank_partition_is_good() -> None:
    assert decode(ecc.BLANK_WORD * 3) == Decoded(data=b"\xff" * 24)


@given(st.lists(st.integers(0, 2**64 - 1), max_size=40))
def test_agrees_with_the_model(words: list[int]) -> None:
    data = b"".join(word.to_bytes(8, "big") for word in words)
    assert encode(data) == model_encode(data)


@pytest.mark.parametrize("words", [BORDER - 1, BORDER, BORDER + 1])
def test_chunks_are_joined(words: int) -> None:
    data = b"".join(number.to_bytes(8, "big") for number in range(words))
    raw = encode(data)
    assert raw[-9:] == model_encode(data[-8:])
    assert raw[9 * (words // 2) :][:9] == model_encode(data[8 * (words // 2) :][:8])
    assert decode(raw) == Decoded(data=data)


@pytest.mark.parametrize("syndrome", range(256))
def test_every_syndrome(syndrome: int) -> None:
    found = decode(bytes(8) + bytes([syndrome]))
    bit = model_bit(syndrome)
    assert found.corrected == (() if bit is None else (Correction(0, bit),))
    assert found.uncorrectable == ((0,) if bit is None and syndrome else ())


@PLACES
def test_every_single_flip_is_corrected(before: int) -> None:
    found = decode(RAW_WORD * before + b"".join(SINGLES) + RAW_WORD)
    assert found.data == WORD * (before + 73)
    assert found.corrected == tuple(
        Correction(before + number, number) for number in range(72)
    )
    assert found.uncorrectable == ()


@PLACES
def test_every_double_flip_is_uncorrectable(before: int) -> None:
    found = decode(RAW_WORD * before + b"".join(DOUBLES))
    assert found.corrected == ()
    assert found.uncorrectable == tuple(range(before, before + len(DOUBLES)))
    assert found.data == WORD * before + b"".join(word[:8] for word in DOUBLES)


def test_flip_at_the_very_end() -> None:
    words = BORDER + 1
    found = decode(RAW_WORD * (words - 1) + flipped(RAW_WORD, 63))
    assert found == Decoded(data=WORD * words, corrected=(Correction(words - 1, 63),))


def test_a_bit_is_of_the_data_or_of_the_check_byte() -> None:
    assert Correction(0, 63).in_data
    assert not Correction(0, 64).in_data


@given(st.binary(max_size=600))
def test_round_trip(data: bytes) -> None:
    data = data[: len(data) // 8 * 8]
    assert decode(encode(data)) == Decoded(data=data)


@given(st.binary(min_size=8, max_size=64), st.sampled_from([bytearray, memoryview]))
def test_any_buffer_will_do(
    data: bytes, kind: type[bytearray] | type[memoryview]
) -> None:
    data = data[: len(data) // 8 * 8]
    assert encode(kind(data)) == encode(data)
    assert decode(kind(encode(data))) == Decoded(data=data)


@given(st.binary(max_size=300))
def test_noise_is_refused_politely(raw: bytes) -> None:
    with suppress(FormatError):
        found = decode(raw)
        assert len(found.data) == len(raw) // 9 * 8


@given(st.integers(1, 200), st.integers(1, 8))
def test_cut_short(words: int, missing: int) -> None:
    with pytest.raises(FormatError) as caught:
        decode((RAW_WORD * words)[:-missing])
    assert caught.value.offset == 9 * (words - 1)


def test_data_in_parts_of_words_is_refused() -> None:
    with pytest.raises(FormatError) as caught:
        encode(bytes(15))
    error = caught.value
    assert (error.format_name, error.field, error.offset) == (
        "ECC data",
        "data size",
        8,
    )


def test_raw_in_parts_of_words_is_refused() -> None:
    with pytest.raises(FormatError) as caught:
        decode(bytes(26))
    error = caught.value
    assert (error.format_name, error.field, error.offset) == (
        "ECC data",
        "raw size",
        18,
    )


def test_sizes() -> None:
    assert [ecc.raw_size(size) for size in (0, 8, 9, 4096)] == [0, 9, 18, 4608]
    assert [ecc.data_size(size) for size in (0, 9, 17, 0x5000)] == [0, 8, 8, 18200]
