"""cpio archive, new ASCII format: files to bytes and back (esm.md 6.3)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from pefstack.images.codec import Buffer
from pefstack.images.cpio_header import (
    HEADER_SIZE,
    MAGIC_CRC,
    MAX_NAME_SIZE,
    NAME,
    OFFSETS,
    CpioHeader,
    aligned,
)
from pefstack.images.errors import FormatError

TRAILER: Final = "TRAILER!!!"
BLOCK_SIZE: Final = 512  # what an archive is padded to, by GNU cpio as here
MAX_ENTRY_COUNT: Final = 0x40000
MODE_DIRECTORY: Final = 0o040755
MODE_FILE: Final = 0o100644


@dataclass(frozen=True, slots=True, kw_only=True)
class CpioEntry:
    """One file; ``name`` without its NUL, a letter for every byte (Latin-1)."""

    name: str
    data: Buffer = field(default=b"", repr=False)
    mode: int = MODE_FILE
    ino: int = 0
    uid: int = 0
    gid: int = 0
    nlink: int = 1
    mtime: int = 0
    devmajor: int = 0
    devminor: int = 0
    rdevmajor: int = 0
    rdevminor: int = 0

    def to_bytes(self) -> bytes:
        """Header, name and data, each part padded to 4.

        Raises `FormatError` for a name that is empty, too long, holds a NUL or
        letters without a byte, and for a number of more than 32 bits.
        """
        name = _name_bytes(self.name)
        kept = {each: getattr(self, each) for each in _KEPT}
        header = CpioHeader(namesize=len(name), filesize=len(self.data), **kept)
        return _padded(header.to_bytes() + name) + _padded(bytes(self.data))


_KEPT: Final = tuple(
    each for each in CpioEntry.__dataclass_fields__ if each not in ("name", "data")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedEntry:
    """One file of an archive and where it is: all offsets into the bytes read."""

    entry: CpioEntry
    offset: int
    data_offset: int
    end: int


def entries_of(raw: Buffer) -> Iterator[PlacedEntry]:
    """Every file of the archive at the start of ``raw``; the last is the trailer.

    Data are views of ``raw``. Raises `FormatError`, when it gets there, for a header,
    name or data that leave ``raw``, a wrong checksum, too many files, no trailer.
    """
    view, at = memoryview(raw), 0
    for _ in range(MAX_ENTRY_COUNT):
        placed = _entry_at(view, at)
        yield placed
        if placed.entry.name == TRAILER:
            return
        at = placed.end
    raise FormatError(NAME, "entries", at, "one more", f"at most {MAX_ENTRY_COUNT}")


def read_archive(raw: Buffer) -> tuple[tuple[CpioEntry, ...], int]:
    """The files of the first archive without its trailer, and the size of it all.

    The padding behind the trailer is not counted. Errors as `entries_of`.
    """
    placed = tuple(entries_of(raw))
    return tuple(each.entry for each in placed[:-1]), placed[-1].end


def write_archive(entries: Iterable[CpioEntry], *, padding: int = BLOCK_SIZE) -> bytes:
    """The archive with its trailer, padded with zeros to ``padding`` bytes.

    Errors as `CpioEntry.to_bytes`; a file called like the trailer is one, too.
    """
    parts = []
    for entry in entries:
        if entry.name == TRAILER:
            raise FormatError(NAME, "name", HEADER_SIZE, TRAILER, "another name")
        parts.append(entry.to_bytes())
    raw = b"".join([*parts, CpioEntry(name=TRAILER, mode=0).to_bytes()])
    return raw.ljust(aligned(len(raw), padding), b"\0")


def file_with_folders(path: str, data: Buffer) -> tuple[CpioEntry, ...]:
    """The entries of one file: the root, each folder above the file, the file."""
    folders = ["."]
    parts = path.split("/")
    folders += ["/".join(parts[: n + 1]) for n in range(len(parts) - 1)]
    made = [CpioEntry(name=each, mode=MODE_DIRECTORY, nlink=2) for each in folders]
    return *made, CpioEntry(name=path, data=data)


def _entry_at(view: memoryview, at: int) -> PlacedEntry:
    header = CpioHeader.from_prefix(view, at)
    name = _name_at(view, at, header.namesize)
    data_offset = aligned(at + HEADER_SIZE + header.namesize)
    end = data_offset + header.filesize
    if end > len(view):
        room = f"at most 0x{max(0, len(view) - data_offset):x}"
        place = at + OFFSETS["filesize"]
        raise FormatError(NAME, "filesize", place, f"0x{header.filesize:x}", room)
    data = view[data_offset:end]
    _check_sum(view, at, header, data)
    kept = {each: getattr(header, each) for each in _KEPT}
    entry = CpioEntry(name=name, data=data, **kept)
    end = min(aligned(end), len(view))
    return PlacedEntry(entry=entry, offset=at, data_offset=data_offset, end=end)


def _name_at(view: memoryview, at: int, size: int) -> str:
    start, place = at + HEADER_SIZE, at + OFFSETS["namesize"]
    most = min(MAX_NAME_SIZE, len(view) - start)
    if not 2 <= size <= most:
        limit = f"0x2 to 0x{most:x}"
        raise FormatError(NAME, "namesize", place, f"0x{size:x}", limit)
    name = bytes(view[start : start + size])
    if name.find(b"\0") != size - 1:
        found = f"a NUL at 0x{name.find(0):x}" if 0 in name else "no NUL"
        raise FormatError(NAME, "name", start, found, f"one NUL, at 0x{size - 1:x}")
    return name[:-1].decode("latin-1")


def _check_sum(view: memoryview, at: int, header: CpioHeader, data: memoryview) -> None:
    if bytes(view[at : at + len(MAGIC_CRC)]) != MAGIC_CRC:
        return
    total = sum(data) & 0xFFFFFFFF
    if total != header.check:
        place, found = at + OFFSETS["check"], f"0x{header.check:x}"
        raise FormatError(NAME, "check", place, found, f"0x{total:x}, sum of the data")


def _name_bytes(name: str) -> bytes:
    try:
        raw = name.encode("latin-1")
    except UnicodeEncodeError:
        raw = b""
    if not raw or 0 in raw or len(raw) >= MAX_NAME_SIZE:
        right = f"1 to {MAX_NAME_SIZE - 1} bytes without NUL"
        raise FormatError(NAME, "name", HEADER_SIZE, repr(name[:64]), right)
    return raw + b"\0"


def _padded(raw: bytes) -> bytes:
    return raw + bytes(-len(raw) % 4)
