"""FFS partition table: vectors, round trips, every refusal."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pefstack.images import ffs_entry
from pefstack.images.errors import FormatError
from pefstack.images.ffs import FfsHeader, FfsTable
from pefstack.images.ffs_entry import FfsEntry

VECTORS = Path(__file__).parents[1] / "vectors" / "boot-chain" / "ffs"
TINY = ["03-tiny-pnor", "04-tiny-pnor2", "16-create-blank", "17-toc"]
TINY_NAMES = ["part", "ONE", "TWO", "THREE", "FOUR"]
U32 = st.integers(0, 2**32 - 1)
U8 = st.integers(0, 255)


def small() -> bytes:
    return (VECTORS / "small.pnor").read_bytes()


def patched(raw: bytes, at: int, value: int, *, mend: int = 0) -> bytes:
    """Another word at an offset; ``mend`` says where the checksum that covers it is."""
    old = int.from_bytes(raw[at : at + 4], "big")
    raw = raw[:at] + value.to_bytes(4, "big") + raw[at + 4 :]
    if mend:
        checksum = int.from_bytes(raw[mend : mend + 4], "big") ^ old ^ value
        raw = raw[:mend] + checksum.to_bytes(4, "big") + raw[mend + 4 :]
    return raw


def entry_names() -> st.SearchStrategy[str]:
    letters = st.characters(min_codepoint=1, max_codepoint=255)
    return st.text(letters, max_size=15)


def entries(block_count: int) -> st.SearchStrategy[FfsEntry]:
    blocks = st.integers(0, block_count // 2)
    return st.builds(
        FfsEntry,
        name=entry_names(),
        base=blocks,
        size=blocks,
        pid=U32,
        id=U32,
        type=U32,
        flags=U32,
        actual=U32,
        reserved=st.binary(min_size=16, max_size=16),
        chip_select=U8,
        compression=U8,
        data_integrity=st.integers(0, 0xFFFF),
        version_check=U8,
        misc=U8,
        user_rest=st.binary(min_size=58, max_size=58),
    )


@st.composite
def tables(draw: st.DrawFn) -> FfsTable:
    block_count = draw(st.integers(2, 2**32 - 1))
    chosen = draw(st.lists(entries(block_count), min_size=1, max_size=5))
    size = draw(st.integers(1, 2**32 - 1))
    header = FfsHeader(
        size=size,
        entry_count=len(chosen),
        block_count=block_count,
        reserved=draw(st.binary(min_size=16, max_size=16)),
    )
    return FfsTable(header=header, entries=tuple(chosen))


def refusal(raw: bytes, **options: int) -> tuple[str, int]:
    with pytest.raises(FormatError) as caught:
        FfsTable.from_prefix(raw, flash_size=options.get("flash_size"))
    assert caught.value.format_name == "FFS table"
    return caught.value.field, caught.value.offset


@pytest.mark.parametrize("name", TINY)
def test_tiny_vectors_from_the_field(name: str) -> None:
    raw = (VECTORS / f"{name}.out").read_bytes()
    table, size = FfsTable.from_prefix(raw, flash_size=len(raw), any_block_size=True)
    assert table.to_bytes() == raw[:size]
    assert [each.name for each in table.entries] == TINY_NAMES
    misc = [each.misc for each in table.entries]
    assert misc == [0, 0, *[ffs_entry.MISC_REPROVISION] * 3]
    assert [each.has_container for each in table.entries] == [False, True, *[False] * 3]


def test_small_vector_from_the_field() -> None:
    raw = small()
    table, size = FfsTable.from_prefix(raw, flash_size=len(raw))
    assert table.to_bytes() == raw[:size]
    assert FfsTable.from_bytes(raw[:size]) == table
    sums = [each.to_bytes()[-4:].hex() for each in table.entries]
    listed = "8f9e9d89 37fd6dfb 2cfd14ac 60bfd2bc 33f962e5 e37558ad fc39edab"
    assert sums == listed.split()
    assert table.extent("BOOTKERNEL") == (0xC000, 0x8000)
    assert table.partition_sizes["NVRAM"] == 0x4000
    with_ecc = [each.name for each in table.entries if each.has_ecc]
    assert with_ecc == ["HBB", "SBKT", "SECBOOT"]
    assert [each.id for each in table.entries] == list(range(1, 8))


@given(tables())
def test_round_trip(table: FfsTable) -> None:
    assert FfsTable.from_bytes(table.to_bytes()) == table


@given(entries(100), st.binary(max_size=15))
def test_entry_round_trip(entry: FfsEntry, rest: bytes) -> None:
    room = 15 - len(entry.name)
    entry = replace(entry, name_rest=rest[:room].rstrip(b"\0"))
    assert FfsEntry.from_bytes(entry.to_bytes()) == entry


@given(tables(), st.integers(0, 48 + 128 - 1))
def test_cut_short(table: FfsTable, size: int) -> None:
    with pytest.raises(FormatError):
        FfsTable.from_bytes(table.to_bytes()[:size])


@given(
    st.binary(max_size=512) | st.binary(max_size=200).map(lambda b: small()[:44] + b)
)
def test_noise_is_refused_politely(raw: bytes) -> None:
    with suppress(FormatError):
        FfsTable.from_bytes(raw, any_block_size=True)


@given(st.integers(0, 48 + 7 * 128 - 1), st.integers(1, 255))
def test_a_changed_byte_is_noticed(at: int, change: int) -> None:
    raw = small()
    with pytest.raises(FormatError):
        FfsTable.from_prefix(raw[:at] + bytes([raw[at] ^ change]) + raw[at + 1 :])


@pytest.mark.parametrize(
    ("at", "value", "field"),
    [
        (0, 0x50415255, "magic"),
        (4, 2, "version"),
        (12, 0x7F, "entry_size"),
        (16, 0, "entry_count"),
        (16, 256, "entry_count"),
        (16, 2**32 - 1, "entry_count"),
        (20, 0x100, "block_size"),
        (20, 0, "block_size"),
        (24, 0, "block_count"),
        (8, 0, "size"),
    ],
)
def test_header_refusals(at: int, value: int, field: str) -> None:
    assert refusal(patched(small(), at, value, mend=44)) == (field, at)


def test_header_checks_come_in_order() -> None:
    raw = small()
    wrong = [(0, 0), (4, 0), (12, 0), (16, 0), (20, 0), (24, 0), (8, 0), (44, 0)]
    for number, (at, _) in enumerate(wrong):
        broken = raw
        for place, value in wrong[number:]:
            broken = patched(broken, place, value)
        assert refusal(broken)[1] == at


def test_entries_longer_than_the_table() -> None:
    raw = patched(small(), 16, 32, mend=44)  # 48 + 32 * 128 bytes in one block
    assert refusal(raw) == ("size", 8)


def test_header_checksum() -> None:
    assert refusal(patched(small(), 44, 0x504142F2)) == ("checksum", 44)


def test_entry_checksum() -> None:
    raw = patched(small(), 48 + 128 + 40, 0x5001)
    assert refusal(raw) == ("entry 'HBB' checksum", 48 + 2 * 128 - 4)


def test_name_without_its_end() -> None:
    at = 48 + 128
    raw = small()
    for place in range(at, at + 16, 4):
        raw = patched(raw, place, 0x41414141, mend=at + 124)
    assert refusal(raw) == ("entry 'AAAAAAAAAAAAAAAA' name", at)


def test_entry_past_the_last_block() -> None:
    at = 48 + 6 * 128
    raw = patched(small(), at + 20, 10, mend=at + 124)
    assert refusal(raw) == ("entry 'NVRAM' base", at + 16)


def test_entry_past_the_end_of_the_flash() -> None:
    at = 48 + 6 * 128
    FfsTable.from_prefix(small(), flash_size=0x1B000)
    assert refusal(small(), flash_size=0x1AFFF) == ("entry 'NVRAM' base", at + 16)


def test_entries_cut_off() -> None:
    assert refusal(small()[: 48 + 7 * 128 - 1]) == ("entries", 48)


def test_left_over_bytes() -> None:
    with pytest.raises(FormatError) as caught:
        FfsTable.from_bytes(small()[: 48 + 7 * 128 + 1])
    assert (caught.value.field, caught.value.offset) == ("end", 48 + 7 * 128)


def test_entry_of_another_length() -> None:
    with pytest.raises(FormatError) as caught:
        FfsEntry.from_bytes(bytes(127))
    assert (caught.value.field, caught.value.offset) == ("entry", 0)


def test_missing_partition() -> None:
    table, _ = FfsTable.from_prefix(small())
    with pytest.raises(FormatError) as caught:
        table.entry("UVISOR")
    assert caught.value.field == "partition"
    assert caught.value.expected == "UVISOR"


@pytest.mark.parametrize("name", ["sixteen-letters-", "a\0b", "\N{SNOWMAN}"])
def test_names_that_do_not_fit(name: str) -> None:
    entry = FfsEntry(name=name, base=1, size=1, actual=0)
    with pytest.raises(FormatError) as caught:
        entry.to_bytes()
    assert (caught.value.field, caught.value.offset) == ("name", 0)


def test_values_that_do_not_fit() -> None:
    entry = FfsEntry(name="HBB", base=1, size=1, actual=0)
    for wrong in (replace(entry, misc=256), replace(entry, reserved=b"short")):
        with pytest.raises(FormatError) as caught:
            wrong.to_bytes()
        assert caught.value.field == "entry"
    with pytest.raises(FormatError):
        FfsHeader(size=2**32, entry_count=1, block_count=1).to_bytes()


def test_table_that_does_not_hold_its_entries() -> None:
    table, _ = FfsTable.from_prefix(small())
    with pytest.raises(FormatError) as caught:
        replace(table, entries=table.entries * 5).to_bytes()
    assert (caught.value.field, caught.value.offset) == ("size", 8)
