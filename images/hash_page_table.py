"""Hash page table: data checked page by page on demand (boot-chain.md 1.7)."""

from __future__ import annotations

import hashlib
from typing import Final

from pefstack.images.codec import Buffer
from pefstack.images.errors import FormatError, PefError

NAME: Final = "hash page table"
PAGE_SIZE: Final = 4096
ENTRY_SIZE: Final = 32  # SHA-512, its first half
MAX_DATA_SIZE: Final = 0x10000000  # four times the largest flash of a POWER9


class PageError(PefError):
    """A page is not the one that the table was made of.

    ``page_number`` counts from 0; ``found`` is the digest of this page behind the entry
    before it, ``expected`` what the table says; both in full, hexadecimal.
    """

    def __init__(self, page_number: int, found: str, expected: str) -> None:
        super().__init__(page_number, found, expected)
        self.page_number = page_number
        self.found = found
        self.expected = expected

    def __str__(self) -> str:
        return (
            f"{NAME}: page 0x{self.page_number:x}: "
            f"found {self.found}, expected {self.expected}"
        )


def hbi_salt(hbb_software_signatures: bytes) -> bytes:
    """The salt of HBI's table, 32 bytes: it ties HBI to the HBB that was signed."""
    return hashlib.sha512(hbb_software_signatures).digest()[:ENTRY_SIZE]


def page_count(data_size: int) -> int:
    """Pages of so many bytes; `FormatError` for more than ``MAX_DATA_SIZE``."""
    if not 0 <= data_size <= MAX_DATA_SIZE:
        limit = f"0x0 to 0x{MAX_DATA_SIZE:x}"
        raise FormatError(NAME, "data_size", 0, f"{data_size:#x}", limit)
    return -(-data_size // PAGE_SIZE)


def entry_count(data_size: int) -> int:
    """The salt and one entry for each page; `FormatError` as `page_count`."""
    return 1 + page_count(data_size)


def table_size(data_size: int) -> int:
    """Bytes of the table, padding to whole pages counted; errors as `page_count`."""
    return PAGE_SIZE * page_count(entry_count(data_size) * ENTRY_SIZE)


def build(salt: bytes, data: Buffer) -> bytes:
    """The table of this data, zeros up to a multiple of 4096 bytes among it.

    Raises `FormatError` for a salt that is not 32 bytes, or too much data.
    """
    if len(salt) != ENTRY_SIZE:
        found = f"0x{len(salt):x} bytes"
        raise FormatError(NAME, "salt", 0, found, f"0x{ENTRY_SIZE:x} bytes")
    size = table_size(len(data))
    entry, entries = salt, [salt]
    for number in range(page_count(len(data))):
        entry = _entry(entry, page_at(data, number))
        entries.append(entry)
    return b"".join(entries).ljust(size, b"\0")


def page_at(data: Buffer, number: int) -> memoryview:
    """One page of the data without a copy; the last one may be short.

    Raises `FormatError` for a number that the data has no page for.
    """
    count = page_count(len(data))
    if not 0 <= number < count:
        raise _no_such_page(number, count)
    start = number * PAGE_SIZE
    return memoryview(data)[start : start + PAGE_SIZE]


def check_page(table: Buffer, number: int, page: Buffer) -> None:
    """Compare one page with the table; a short page is filled with zeros.

    ``table`` ends with its padding at the latest. It is worth as much as the signature
    over it, which is not looked at here. Raises `FormatError` for a number that the
    table has no entry for and for a page that is empty or too long, and `PageError` for
    another page than the one at that place.
    """
    count = max(len(table) // ENTRY_SIZE - 1, 0)
    if not 0 <= number < count:
        raise _no_such_page(number, count)
    if not 0 < len(page) <= PAGE_SIZE:
        limit = f"0x1 to 0x{PAGE_SIZE:x} bytes"
        raise FormatError(NAME, "page", 0, f"0x{len(page):x} bytes", limit)
    start = number * ENTRY_SIZE
    middle = start + ENTRY_SIZE
    found = _entry(table[start:middle], page)
    expected = bytes(table[middle : middle + ENTRY_SIZE])
    if found != expected:
        raise PageError(number, found.hex(), expected.hex())


def check_pages(table: Buffer, data: Buffer) -> None:
    """Compare every page of the data with the table, from the first on.

    Raises what the first `check_page` that fails does, and the errors of `page_count`.
    """
    view, entries = memoryview(data), bytes(table)
    count, good = page_count(len(view)), 0
    pages = range(0, len(view) - PAGE_SIZE + 1, PAGE_SIZE)
    befores = range(0, len(entries) - 2 * ENTRY_SIZE + 1, ENTRY_SIZE)
    for start, before in zip(pages, befores, strict=False):
        middle = before + ENTRY_SIZE
        digest = hashlib.sha512(entries[before:middle])
        digest.update(view[start : start + PAGE_SIZE])
        if digest.digest()[:ENTRY_SIZE] != entries[middle : middle + ENTRY_SIZE]:
            break
        good += 1
    # the one that is wrong, a short last one, and those that the table does not have
    for number in range(good, count):
        check_page(entries, number, page_at(view, number))


def _entry(before: Buffer, page: Buffer) -> bytes:
    """The entry of a page that follows another entry."""
    digest = hashlib.sha512(before)
    digest.update(page)
    digest.update(bytes(PAGE_SIZE - len(page)))
    return digest.digest()[:ENTRY_SIZE]


def _no_such_page(number: int, count: int) -> FormatError:
    at = max(number + 1, 0) * ENTRY_SIZE
    limit = f"less than 0x{count:x}"
    return FormatError(NAME, "page_number", at, f"{number:#x}", limit)
