"""The flash against a bytearray; its ECC corrects, counts and reports."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pefstack.hw.errors import DeviceError
from pefstack.hw.flash import SECTOR_SIZE, EccRead, Flash
from pefstack.hw.journal import Journal
from pefstack.images import ecc

SIZE = 5 * SECTOR_SIZE + 0x80  # the last sector is not a whole one
OLD = bytes(number % 253 for number in range(SIZE))
PLACES = st.integers(0, SIZE)
CONTENTS = st.binary(max_size=40) | st.builds(
    lambda size: b"\xa5" * size, st.integers(0, 2 * SECTOR_SIZE)
)
DATA = bytes(range(64))  # eight words, 72 bytes in the flash
AT = 0x1234


def flash(image: bytes = OLD) -> tuple[Flash, Journal]:
    journal = Journal()
    return Flash(image, journal), journal


def coded(*flips: tuple[int, int]) -> tuple[Flash, Journal]:
    """``DATA`` behind ECC at 0x1234, with these bits (byte, bit) turned over."""
    raw = bytearray(ecc.encode(DATA))
    for byte, bit in flips:
        raw[byte] ^= 1 << bit
    return flash(b"\xff" * AT + raw + b"\xff" * AT)


@given(st.lists(st.tuples(PLACES, CONTENTS), max_size=8), PLACES, PLACES)
def test_like_a_bytearray(
    writes: list[tuple[int, bytes]], start: int, end: int
) -> None:
    device, _ = flash()
    model = bytearray(OLD)
    forks = []
    for offset, data in writes:
        data = data[: SIZE - offset]
        forks.append((device.fork(Journal()), bytes(model)))
        device.write(offset, data)
        model[offset : offset + len(data)] = data
    for each, expected in [*forks, (device, bytes(model))]:
        assert bytes(each.read(0, SIZE)) == expected
    size = max(end - start, 0)
    assert bytes(device.read(start, size)) == model[start : start + size]


@pytest.mark.parametrize(
    ("offset", "size"), [(-1, 1), (SIZE, 1), (SIZE - 1, 2), (0, SIZE + 1), (1 << 70, 1)]
)
def test_outside_is_refused(offset: int, size: int) -> None:
    device, _ = flash()
    with pytest.raises(DeviceError, match=f"no {size} bytes") as refused:
        device.read(offset, size)
    assert (refused.value.device, refused.value.code) == ("flash", offset)
    with pytest.raises(DeviceError, match=f"no {size} bytes"):
        device.write(offset, bytes(size))
    with pytest.raises(DeviceError):
        device.read_ecc(offset, 9 * size)
    assert bytes(device.read(0, SIZE)) == OLD


def test_a_negative_size_is_refused() -> None:
    with pytest.raises(DeviceError, match="no -9 bytes"):
        flash()[0].read_ecc(18, -9)


def test_a_good_read_counts_nothing() -> None:
    device, journal = coded()
    assert device.read_ecc(AT, 72) == EccRead(data=DATA)
    assert (device.corrected_count, len(journal)) == (0, 0)


def test_a_single_bit_error_is_corrected_and_counted() -> None:
    device, journal = coded((9 * 2 + 3, 5))
    found = device.read_ecc(AT, 72)
    assert found == EccRead(data=DATA, corrected=(AT + 18,))
    assert device.corrected_count == 1
    (event,) = journal
    assert (event.source, event.kind) == ("flash", "ecc-corrected")
    assert event.detail == {"offset": AT + 18, "count": 1}
    device.read_ecc(AT, 72)
    assert device.corrected_count == 2


def test_a_flipped_check_bit_counts_as_well() -> None:
    device, journal = coded((8, 0), (9 * 7 + 1, 7))
    assert device.read_ecc(AT, 72).corrected == (AT, AT + 63)
    assert device.corrected_count == 2
    assert journal[0].detail == {"offset": AT, "count": 2}


def test_a_double_bit_error_is_reported() -> None:
    device, journal = coded((9 * 4, 0), (9 * 4 + 1, 0), (9, 1))
    found = device.read_ecc(AT, 72)
    assert found.uncorrectable == (AT + 36,)
    assert found.corrected == (AT + 9,)
    assert found.data[:32] == DATA[:32]
    assert found.data[32:34] == bytes([DATA[32] ^ 1, DATA[33] ^ 1])
    kinds = [(each.kind, each.detail) for each in journal]
    assert kinds == [
        ("ecc-corrected", {"offset": AT + 9, "count": 1}),
        ("ecc-uncorrectable", {"offset": AT + 36, "count": 1}),
    ]
    assert device.corrected_count == 1


def test_a_look_counts_and_reports_nothing() -> None:
    device, journal = coded((0, 0), (9, 0), (10, 0))
    assert device.peek_ecc(AT, 72).uncorrectable == (1,)
    assert (device.corrected_count, len(journal)) == (0, 0)


def test_the_image_itself_is_never_written() -> None:
    image = bytearray(OLD)
    device = Flash(memoryview(image).toreadonly(), Journal())
    device.write(SECTOR_SIZE - 1, b"xyz")
    assert image == OLD
    assert bytes(device.read(SECTOR_SIZE - 1, 3)) == b"xyz"


@pytest.mark.parametrize("by_pickle", [False, True])
def test_a_copy_has_a_future_of_its_own(by_pickle: bool) -> None:
    device, journal = coded((0, 0))
    device.read_ecc(AT, 72)
    device.write(0, b"before")
    other = journal.fork()
    copy = device.fork(other)
    if by_pickle:
        copy, other = pickle.loads(pickle.dumps((device, journal)))
    assert copy.corrected_count == 1
    copy.write(0, b"after!")
    copy.read_ecc(AT, 72)
    assert (device.corrected_count, copy.corrected_count) == (1, 2)
    assert (len(journal), len(other)) == (1, 2)
    assert bytes(device.read(0, 6)) == b"before"
    assert bytes(copy.read(0, 6)) == b"after!"
    assert copy.size == device.size
