"""The ESM blob in front of an initramfs: the ultravisor's search (esm.md 1.6, 5.8)."""

from __future__ import annotations

import re
from array import array
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from pefstack.images.codec import Buffer
from pefstack.images.cpio import (
    BLOCK_SIZE,
    MAX_ENTRY_COUNT,
    TRAILER,
    file_with_folders,
    write_archive,
)
from pefstack.images.cpio_header import (
    HEADER_SIZE,
    MAGIC,
    OFFSETS,
    aligned,
    check_magic,
    number_at,
)
from pefstack.images.errors import FormatError

NAME: Final = "initramfs"
FOLDER: Final = "opt/ibm/pef"
BLOB_MAGIC: Final = b"\xd0\x0d\xfe\xed"  # v1, a device tree
OPERAND_MAGIC: Final = b"ESMO"  # v2
MAGICS: Final = (BLOB_MAGIC, OPERAND_MAGIC)

_PREFIX: Final = FOLDER.encode("ascii")
_TRAILER: Final = TRAILER.encode("ascii") + b"\0"
_STRICT_NAME: Final = re.compile(rb"opt/ibm/pef/(?!\.\.?\0)[^/\0]+\0")
_FOLDERS: Final = frozenset({b".\0", b"opt\0", b"opt/ibm\0", b"opt/ibm/pef\0"})
_WORD: Final = 4


class NameRule(Enum):
    """Which names a file with a blob may have (esm.md 1.7)."""

    REAL = "real"  # begins with opt/ibm/pef, whatever follows
    STRICT = "strict"  # opt/ibm/pef/ and one path part; of all files, and no other one


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobPlace:
    """Where the blob is; offsets in bytes from the start of the initramfs.

    ``archive_size`` is what the archive with the blob takes in front of the rest,
    padding included: the digest is that of what follows. It is 0 where the archive has
    no trailer. How long the blob is, it says itself; ``room`` is what its file has for
    it.
    """

    offset: int
    room: int
    magic: bytes
    archive_size: int = 0

    def rest_of(self, initramfs: Buffer) -> memoryview:
        """What is hashed: the initramfs without the archive of the blob."""
        return memoryview(initramfs)[self.archive_size :]


def find_blob(
    initramfs: Buffer,
    *,
    address: int = 0,
    rule: NameRule = NameRule.STRICT,
    magics: tuple[bytes, ...] = MAGICS,
) -> BlobPlace:
    """The first blob in the first archive, as the real ultravisor finds it.

    ``address`` is where the initramfs lies in the guest: all rounding is of addresses.
    Raises `FormatError` that says why there is none: no archive (any more), a file
    elsewhere before the blob, a name against the rule, numbers that leave the
    initramfs. Once a blob was found, an archive that breaks off is one without trailer.
    """
    return _Search(memoryview(initramfs), address, rule, magics).run()


def blob_archive(file_name: str, blob: Buffer) -> bytes:
    """What is put in front of an initramfs: the blob in its folder, padded to 512.

    The initramfs must then begin at a multiple of 512 in the guest. Raises
    `FormatError` for a name that the strict rule refuses.
    """
    path = f"{FOLDER}/{file_name}"
    if not _STRICT_NAME.fullmatch(path.encode("latin-1", "replace") + b"\0"):
        raise FormatError(NAME, "name", HEADER_SIZE, repr(file_name), "one path part")
    return write_archive(file_with_folders(path, blob))


class _Search:
    """One walk over the headers of the first archive; `_at` is the current one."""

    def __init__(
        self, raw: memoryview, address: int, rule: NameRule, magics: tuple[bytes, ...]
    ) -> None:
        self._raw, self._address = raw, address
        self._rule, self._magics = rule, magics
        self._start = self._at = self._round(0)
        self._found: BlobPlace | None = None

    def run(self) -> BlobPlace:
        for _ in range(MAX_ENTRY_COUNT):
            try:
                next_at = self._entry()
            except FormatError:
                if self._found:
                    return self._found
                raise
            if next_at is None:
                return self._shortened()
            self._at = next_at
        limit = f"at most {MAX_ENTRY_COUNT}"
        raise FormatError(NAME, "entries", self._at, "one more", limit)

    def _entry(self) -> int | None:
        """Look at one file; where the next header is, or None behind the trailer."""
        check_magic(self._raw, self._at, (MAGIC,))
        name_size = number_at(self._raw, self._at, "namesize")
        file_size = number_at(self._raw, self._at, "filesize")
        name_at = self._at + HEADER_SIZE
        data_at = self._round(name_at + name_size)
        end = data_at + file_size
        if name_size == len(_TRAILER) and self._at_name(name_size) == _TRAILER:
            self._at = self._round(end)
            return None
        if file_size and self._found is None:
            self._check_name(name_size)
            self._check_end(end, file_size)
            self._scan(data_at, end)
        elif self._rule is NameRule.STRICT:
            self._check_other(name_size, file_size)
        return self._round(end)

    def _at_name(self, size: int) -> bytes:
        start = self._at + HEADER_SIZE
        return bytes(self._raw[start : start + size])

    def _check_name(self, size: int) -> None:
        """Like the real code, the name is not cut at its size to look at the folder."""
        place = self._at + HEADER_SIZE
        begin = self._at_name(len(_PREFIX))
        if begin != _PREFIX:
            raise FormatError(NAME, "name", place, repr(begin), f"{FOLDER} and more")
        if self._rule is NameRule.STRICT and not _STRICT_NAME.fullmatch(
            name := self._at_name(min(size, BLOCK_SIZE))
        ):
            right = f"{FOLDER}/ and one path part"
            raise FormatError(NAME, "name", place, repr(name[:64]), right)

    def _check_other(self, size: int, file_size: int) -> None:
        """Linux unpacks this archive too, and no digest covers it."""
        name = self._at_name(min(size, BLOCK_SIZE))
        is_folder = not file_size and name in _FOLDERS
        if not is_folder and not _STRICT_NAME.fullmatch(name):
            self._found = None
            place = self._at + HEADER_SIZE
            right = f"{FOLDER}, and nothing beside it"
            raise FormatError(NAME, "name", place, repr(name[:64]), right)

    def _check_end(self, end: int, file_size: int) -> None:
        if end > len(self._raw):
            place = self._at + OFFSETS["filesize"]
            limit = f"an end at 0x{len(self._raw):x} at most"
            raise FormatError(NAME, "filesize", place, f"0x{file_size:x}", limit)

    def _scan(self, start: int, end: int) -> None:
        """Any of the magics, in steps of 4 from where the data begin."""
        hits = [
            (start + _WORD * word, magic)
            for magic in self._magics
            if (word := _word_index(self._raw[start:end], magic)) is not None
        ]
        if hits:
            offset, magic = min(hits)
            self._found = BlobPlace(offset=offset, room=end - offset, magic=magic)

    def _shortened(self) -> BlobPlace:
        """The place; the archive ends at a multiple of 512 behind the trailer."""
        if self._found is None:
            right = "an ESM blob or operand before the trailer"
            raise FormatError(NAME, "blob", self._at, "none", right)
        size = self._round(self._at, BLOCK_SIZE) - self._start
        if size > len(self._raw):
            limit = f"at most 0x{len(self._raw):x}"
            raise FormatError(NAME, "archive size", self._at, f"0x{size:x}", limit)
        padding = bytes(self._raw[self._at : self._start + size])
        if self._rule is NameRule.STRICT and any(padding):
            raise FormatError(NAME, "padding", self._at, "bytes that Linux reads", "0")
        return replace(self._found, archive_size=size)

    def _round(self, at: int, alignment: int = _WORD) -> int:
        """Offset of the next address that is a multiple."""
        return aligned(self._address + at, alignment) - self._address


def _word_index(data: memoryview, magic: bytes) -> int | None:
    """Which word of the data is the magic; the last, incomplete one is none."""
    content = bytes(data[: len(data) // _WORD * _WORD])
    first = content.find(magic)
    if first < 0:
        return None
    if first % _WORD == 0:
        return first // _WORD
    words = array("I", content)
    try:
        return words.index(array("I", magic)[0])
    except ValueError:
        return None
