"""Compressed data by their magic: unpacked as a stream, never beyond a limit.

Formats: those of Linux kernels and initramfs images (esm.md 6.1, 6.3). lzo is known by
its magic and refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from pefstack.images.codec import Buffer
from pefstack.images.errors import FormatError
from pefstack.images.lz4_legacy import MAGIC as LZ4_LEGACY_MAGIC
from pefstack.images.lz4_legacy import Lz4LegacyError, Lz4LegacyStream

NAME: Final = "compression"
MAX_DICTIONARY_SIZE: Final = 0x10000000  # what xz and lzma may ask for


class Stream(Protocol):
    """One stream of any format, as the standard library's modules have it."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes | None: ...

    def decompress(self, data: Buffer, max_length: int, /) -> bytes: ...


Errors = tuple[type[Exception], ...]
Opener = Callable[[], tuple[Stream, Errors]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compression:
    """A format; without ``open`` it is only known."""

    name: str
    magic: bytes
    open: Opener | None


def compression_of(raw: Buffer) -> Compression | None:
    """The format that ``raw`` begins with, if it is one of those known."""
    head = bytes(raw[: max(len(each.magic) for each in COMPRESSIONS)])
    return next((each for each in COMPRESSIONS if head.startswith(each.magic)), None)


def unpack_prefix(raw: Buffer, *, limit: int) -> tuple[bytes, int]:
    """The content of the stream at the start of ``raw``, and how many bytes it took.

    One stream (member, frame) only: what follows is the caller's. Raises `FormatError`
    for no known magic, lzo, broken or cut data, and more than ``limit`` bytes, which
    are never made.
    """
    kind = compression_of(raw)
    if kind is None or kind.open is None:
        raise _unknown(raw, kind)
    stream, errors = kind.open()
    try:
        data = stream.decompress(raw, limit + 1)
    except errors as broken:
        raise FormatError(NAME, kind.name, 0, _words(broken), "whole data") from None
    if len(data) > limit:
        found, most = f"more than 0x{limit:x} bytes", f"at most 0x{limit:x} bytes"
        raise FormatError(NAME, f"{kind.name} content", 0, found, most)
    if not stream.eof:
        raise FormatError(NAME, kind.name, len(raw), "the end", "the rest of the data")
    return data, len(raw) - len(stream.unused_data or b"")


def unpack(raw: Buffer, *, limit: int) -> bytes:
    """The content of one stream with nothing but zeros behind it; else as
    `unpack_prefix`."""
    data, size = unpack_prefix(raw, limit=limit)
    rest = bytes(raw[size:])
    if rest.count(0) != len(rest):
        raise FormatError(NAME, "end", size, f"0x{len(rest):x} bytes", "no more bytes")
    return data


def _unknown(raw: Buffer, kind: Compression | None) -> FormatError:
    known = ", ".join(each.name for each in COMPRESSIONS if each.open)
    found = kind.name if kind else bytes(raw[:8]).hex() or "the end"
    return FormatError(NAME, "magic", 0, found, known)


def _words(broken: Exception) -> str:
    return str(broken) or type(broken).__name__


def _gzip() -> tuple[Stream, Errors]:
    import zlib

    return zlib.decompressobj(16 + zlib.MAX_WBITS), (zlib.error,)


def _bzip2() -> tuple[Stream, Errors]:
    import bz2

    return bz2.BZ2Decompressor(), (OSError, ValueError)


def _xz() -> tuple[Stream, Errors]:
    import lzma

    stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, MAX_DICTIONARY_SIZE)
    return stream, (lzma.LZMAError,)


def _lzma() -> tuple[Stream, Errors]:
    import lzma

    stream = lzma.LZMADecompressor(lzma.FORMAT_ALONE, MAX_DICTIONARY_SIZE)
    return stream, (lzma.LZMAError,)


def _zstd() -> tuple[Stream, Errors]:
    try:
        from compression import zstd  # of the library, from Python 3.14 on
    except ImportError:
        from backports import zstd
    return zstd.ZstdDecompressor(), (zstd.ZstdError,)


def _lz4() -> tuple[Stream, Errors]:
    import lz4.frame

    return lz4.frame.LZ4FrameDecompressor(), (RuntimeError,)


def _lz4_legacy() -> tuple[Stream, Errors]:
    return Lz4LegacyStream(), (Lz4LegacyError,)


COMPRESSIONS: Final = (
    Compression(name="gzip", magic=b"\x1f\x8b", open=_gzip),
    Compression(name="bzip2", magic=b"BZh", open=_bzip2),
    Compression(name="lzma", magic=b"\x5d\0\0", open=_lzma),
    Compression(name="xz", magic=b"\xfd7zXZ\0", open=_xz),
    Compression(name="lzo", magic=b"\x89LZO\0\r\n\x1a\n", open=None),
    Compression(name="lz4", magic=b"\x04\x22\x4d\x18", open=_lz4),
    Compression(name="lz4 legacy", magic=LZ4_LEGACY_MAGIC, open=_lz4_legacy),
    Compression(name="zstd", magic=b"\x28\xb5\x2f\xfd", open=_zstd),
)
