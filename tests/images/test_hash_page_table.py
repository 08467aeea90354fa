"""Hash page tables: against another computation, and every refusal."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pefstack.images import hash_page_table
from pefstack.images.errors import FormatError
from pefstack.images.hash_page_table import (
    PageError,
    build,
    check_page,
    check_pages,
    entry_count,
    hbi_salt,
    page_at,
    page_count,
    table_size,
)

SALT = bytes(range(32))
PAGE = 4096


def pages_of(data: bytes) -> list[bytes]:
    return [data[at : at + PAGE].ljust(PAGE, b"\0") for at in range(0, len(data), PAGE)]


def chain(salt: bytes, data: bytes) -> bytes:
    """The table by the sentence of the specification, in other words."""
    entries = [salt]
    for page in pages_of(data):
        entries += [hashlib.sha512(entries[-1] + page).digest()[:32]]
    table = b"".join(entries)
    while len(table) % PAGE:
        table += b"\0"
    return table


def contents() -> st.SearchStrategy[bytes]:
    """Up to four pages, of which only the ends are random."""
    sizes = st.integers(0, 4 * PAGE)
    ends = st.tuples(st.binary(min_size=1, max_size=40), st.binary(max_size=40), sizes)
    return ends.map(lambda each: (each[0] * PAGE)[: each[2]] + each[1])


def refusal(error: pytest.ExceptionInfo[FormatError]) -> tuple[str, str, int]:
    return error.value.format_name, error.value.field, error.value.offset


@given(st.binary(min_size=32, max_size=32), contents())
def test_table_agrees_with_another_computation(salt: bytes, data: bytes) -> None:
    table = build(salt, memoryview(data))
    assert table == chain(salt, data)
    assert len(table) == table_size(len(data))
    assert entry_count(len(data)) == 1 + len(pages_of(data))


@given(contents())
def test_every_page_passes_short_or_filled(data: bytes) -> None:
    table = build(SALT, data)
    for number, page in enumerate(pages_of(data)):
        check_page(table, number, page)
        check_page(table, number, page_at(data, number))


@given(contents().filter(len), st.data())
def test_a_changed_bit_is_noticed(data: bytes, draw: st.DataObject) -> None:
    table = build(SALT, data)
    at = draw.draw(st.integers(0, len(data) - 1))
    changed = bytearray(data)
    changed[at] ^= 1 << draw.draw(st.integers(0, 7))
    number = at // PAGE
    with pytest.raises(PageError) as caught:
        check_page(table, number, page_at(changed, number))
    assert caught.value.page_number == number


Check = Callable[[bytes, bytes], None]


def answer(check: Check, table: bytes, data: bytes) -> tuple[str, str]:
    """The kind of an error and its words; nothing where there is none."""
    try:
        check(table, data)
    except (FormatError, PageError) as wrong:
        return type(wrong).__name__, str(wrong)
    return "", ""


def one_by_one(table: bytes, data: bytes) -> None:
    for number in range(page_count(len(data))):
        check_page(table, number, page_at(data, number))


@pytest.mark.parametrize("size", [0, 1, PAGE, PAGE + 1, 3 * PAGE, 3 * PAGE + 7])
def test_all_pages_at_once_say_what_one_by_one_say(size: int) -> None:
    data = hashlib.shake_128(b"x").digest(size)
    table = build(SALT, data)
    check_pages(table, memoryview(data))
    for at in {0, PAGE - 1, PAGE, size - 1} & set(range(size)):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        wrong = answer(check_pages, table, changed)
        assert wrong == answer(one_by_one, table, changed)
        assert wrong[0] == "PageError"
    for end in range(0, 32 * (1 + page_count(size)), 16):
        short = table[:end]
        wrong = answer(check_pages, short, data)
        assert wrong == answer(one_by_one, short, data)
        assert wrong[0] == ("FormatError" if size else "")


@given(st.binary(max_size=200), st.integers(-5, 10), st.binary(max_size=40))
def test_noise_is_refused_politely(table: bytes, number: int, page: bytes) -> None:
    with pytest.raises((FormatError, PageError)):
        check_page(table, number, page)


@given(contents().filter(len), st.data())
def test_cut_short(data: bytes, draw: st.DataObject) -> None:
    """Without its entry a page is refused, whatever is left of the table."""
    number = draw.draw(st.integers(0, page_count(len(data)) - 1))
    size = draw.draw(st.integers(0, (number + 2) * 32 - 1))
    with pytest.raises(FormatError):
        check_page(build(SALT, data)[:size], number, page_at(data, number))


def test_known_answer() -> None:
    """Two pages, the second of one byte; entries from `sha512sum`."""
    data = b"\xaa" * PAGE + b"\x55"
    table = build(SALT, data)
    assert table[:32] == SALT
    assert table[32:64].hex() == (
        "7409b640d4bb5150ad9c34eee5440f01de769d945fa14784fc1fd437c3445e70"
    )
    assert table[64:96].hex() == (
        "8a0f1eeeb686bd18b74784bf88297e6adcc498a446ea8e7126092ea2b2691d4d"
    )
    assert table[96:] == bytes(PAGE - 96)


def test_salt_of_hbi() -> None:
    """The digest of "abc" as FIPS 180 prints it, its first half."""
    assert hbi_salt(b"abc").hex() == (
        "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
    )


@pytest.mark.parametrize(
    ("data_size", "entries", "size"),
    [
        (0, 1, PAGE),
        (1, 2, PAGE),
        (PAGE, 2, PAGE),
        (PAGE + 1, 3, PAGE),
        (127 * PAGE, 128, PAGE),
        (127 * PAGE + 1, 129, 2 * PAGE),
        (hash_page_table.MAX_DATA_SIZE, 0x10001, 0x201000),
    ],
)
def test_sizes(data_size: int, entries: int, size: int) -> None:
    assert (entry_count(data_size), table_size(data_size)) == (entries, size)


def test_page_of_another_number() -> None:
    """Same bytes twice: the chain tells the places apart."""
    data = b"\x11" * (3 * PAGE)
    table = build(SALT, data)
    assert len({table[at : at + 32] for at in range(0, 128, 32)}) == 4
    other = build(SALT, data[: 2 * PAGE] + b"\x12" * PAGE)
    with pytest.raises(PageError) as caught:
        check_page(other, 2, data[:PAGE])
    assert caught.value.found == table[96:128].hex()
    assert caught.value.expected == other[96:128].hex()
    assert str(caught.value).startswith("hash page table: page 0x2: found ")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_another_salt_fits_no_page() -> None:
    data = bytes(PAGE)
    table = bytes(32) + build(SALT, data)[32:]
    with pytest.raises(PageError):
        check_page(table, 0, data)


def test_padding_of_the_table_is_no_page() -> None:
    with pytest.raises(PageError) as caught:
        check_page(build(SALT, bytes(PAGE)), 1, bytes(PAGE))
    assert caught.value.expected == "00" * 32


@pytest.mark.parametrize("number", [-1, -2, 127, 2**64])
def test_page_numbers_that_the_table_does_not_have(number: int) -> None:
    with pytest.raises(FormatError) as caught:
        check_page(build(SALT, bytes(PAGE)), number, bytes(PAGE))
    at = max(number + 1, 0) * 32
    assert refusal(caught) == ("hash page table", "page_number", at)
    assert caught.value.expected == "less than 0x7f"


def test_page_number_of_a_table_that_is_cut() -> None:
    data = bytes(2 * PAGE)
    table = build(SALT, data)
    check_page(table[:96], 1, data[:PAGE])
    with pytest.raises(FormatError) as caught:
        check_page(table[:95], 1, data[:PAGE])
    assert refusal(caught) == ("hash page table", "page_number", 64)


def test_page_numbers_that_the_data_does_not_have() -> None:
    for number in (-1, 2):
        with pytest.raises(FormatError) as caught:
            page_at(bytes(PAGE + 1), number)
        assert caught.value.field == "page_number"
    assert len(page_at(bytes(PAGE + 1), 1)) == 1


@pytest.mark.parametrize("size", [0, PAGE + 1])
def test_pages_of_impossible_size(size: int) -> None:
    with pytest.raises(FormatError) as caught:
        check_page(build(SALT, bytes(PAGE)), 0, bytes(size))
    assert refusal(caught) == ("hash page table", "page", 0)


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_salts_of_another_size(size: int) -> None:
    with pytest.raises(FormatError) as caught:
        build(bytes(size), b"")
    assert refusal(caught) == ("hash page table", "salt", 0)


@pytest.mark.parametrize("size", [-1, hash_page_table.MAX_DATA_SIZE + 1])
def test_data_of_impossible_size(size: int) -> None:
    for each in (entry_count, page_count, table_size):
        with pytest.raises(FormatError) as caught:
            each(size)
        assert refusal(caught) == ("hash page table", "data_size", 0)
