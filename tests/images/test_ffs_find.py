"""The search for the partition table, probe by probe."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pefstack.images.errors import FormatError
from pefstack.images.ffs import FfsTable
from pefstack.images.ffs_find import find_table

VECTORS = Path(__file__).parents[1] / "vectors" / "boot-chain" / "ffs"


class Probes:
    """A flash that is read, and how."""

    def __init__(self, flash: bytes) -> None:
        self.flash = memoryview(flash)
        self.reads: list[tuple[int, int]] = []

    def read(self, offset: int, size: int) -> memoryview:
        self.reads.append((offset, size))
        return self.flash[offset : offset + size]


def flash_with(*places: int, size: int = 0x20000) -> bytes:
    table, _ = FfsTable.from_prefix((VECTORS / "small.pnor").read_bytes())
    raw = bytearray(b"\xff" * size)
    for place in places:
        raw[place : place + 48 + 7 * 128] = table.to_bytes()
    return bytes(raw)


def test_search_begins_where_hbbl_looks_first() -> None:
    probes = Probes(flash_with(0, 0x17000))
    at, table = find_table(probes.read, 0x20000)
    assert at == 0x17000
    assert table.partition_sizes["HBB"] == 0x5000
    assert probes.reads == [(0x17000, 4), (0x17000, 48), (0x17000, 48 + 7 * 128)]


@pytest.mark.parametrize("place", [0, 0x1000, 0x16000])
def test_search_steps_back(place: int) -> None:
    probes = Probes(flash_with(place, 0x18000))
    assert find_table(probes.read, 0x20000)[0] == place
    small_reads = [(at, 4) for at in range(0x17000, place - 1, -0x1000)]
    assert probes.reads[:-2] == small_reads


def test_search_passes_over_invalid_tables() -> None:
    raw = bytearray(flash_with(0, 0x3000, 0x5000, 0x9000))
    raw[0x9000 + 44] ^= 1  # checksum of the header
    raw[0x5000 + 300] ^= 1  # an entry
    raw[0x3000 + 7] = 2  # version
    assert find_table(Probes(bytes(raw)).read, 0x20000)[0] == 0


def test_search_looks_at_pages_only() -> None:
    with pytest.raises(FormatError):
        find_table(Probes(flash_with(0x1800)).read, 0x20000)


@pytest.mark.parametrize("size", [0, 0x1000, 0x8FFF, 0x20000])
def test_search_without_a_table(size: int) -> None:
    with pytest.raises(FormatError) as caught:
        find_table(Probes(b"\xff" * size).read, size)
    error = caught.value
    assert (error.format_name, error.field) == ("FFS table", "search")
    assert error.offset == max(size - 0x9000, 0)


def test_search_tells_about_the_first_bad_table() -> None:
    raw = bytearray(flash_with(0x9000, 0x4000))
    raw[0x9000 + 15] ^= 1
    raw[0x4000 + 7] ^= 2
    with pytest.raises(FormatError) as caught:
        find_table(Probes(bytes(raw)).read, 0x20000)
    assert "0x9000" in caught.value.found
    assert "entry_size" in caught.value.found


@given(st.binary(max_size=48))
def test_search_survives_noise_behind_the_magic(noise: bytes) -> None:
    raw = bytearray(0x20000)
    for at in range(0, 0x18000, 0x1000):
        raw[at : at + 4 + len(noise)] = b"PART" + noise
    with suppress(FormatError):
        find_table(Probes(bytes(raw)).read, 0x20000)
