"""Compressed data: every format, its limit, cut and broken data, other programs."""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import subprocess
from collections.abc import Callable
from contextlib import suppress

import lz4.block
import lz4.frame
import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from elf_kit import ESM
from interop import need
from pefstack.images.compressed import (
    COMPRESSIONS,
    compression_of,
    unpack,
    unpack_prefix,
)
from pefstack.images.errors import FormatError
from pefstack.images.lz4_legacy import BLOCK_SIZE


def lz4_legacy(data: bytes) -> bytes:
    raw = b"\x02\x21\x4c\x18"
    for start in range(0, len(data), BLOCK_SIZE):
        part = data[start : start + BLOCK_SIZE]
        block = lz4.block.compress(part, store_size=False)
        raw += struct.pack("<I", len(block)) + block
    return raw


def xz_crc32(data: bytes) -> bytes:
    return lzma.compress(data, lzma.FORMAT_XZ, lzma.CHECK_CRC32)


def lzma_alone(data: bytes) -> bytes:
    return lzma.compress(data, lzma.FORMAT_ALONE)


Pack = Callable[[bytes], bytes]
PACKS: dict[str, Pack] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "lzma": lzma_alone,
    "xz": xz_crc32,
    "lz4": lz4.frame.compress,
    "lz4 legacy": lz4_legacy,
    "zstd": zstd.compress,
}
DATA = bytes(range(256)) * 300
PACKED = {name: pack(DATA) for name, pack in PACKS.items()}
EACH = pytest.mark.parametrize("name", PACKS)


def refused(raw: bytes, limit: int = 0x100000) -> FormatError:
    with pytest.raises(FormatError) as caught:
        unpack_prefix(raw, limit=limit)
    assert caught.value.format_name == "compression"
    return caught.value


def test_all_formats_are_here() -> None:
    assert {each.name for each in COMPRESSIONS} == {*PACKS, "lzo"}


@EACH
def test_content_and_size(name: str) -> None:
    raw = PACKED[name]
    kind = compression_of(raw)
    assert kind is not None
    assert kind.name == name
    assert unpack_prefix(raw, limit=len(DATA)) == (DATA, len(raw))
    assert unpack(memoryview(raw), limit=0x100000) == DATA


@EACH
def test_empty_content(name: str) -> None:
    raw = PACKS[name](b"")
    assert unpack_prefix(raw, limit=0) == (b"", len(raw))


@EACH
def test_the_limit_is_exact(name: str) -> None:
    wrong = refused(PACKED[name], limit=len(DATA) - 1)
    assert wrong.field == f"{name} content"
    assert wrong.expected == f"at most 0x{len(DATA) - 1:x} bytes"


@EACH
def test_a_bomb_is_stopped(name: str) -> None:
    """16 MiB of zeros in a few bytes: no more than the limit is made."""
    assert refused(PACKS[name](bytes(0x1000000)), limit=100).field == f"{name} content"


@EACH
@pytest.mark.parametrize("rest", [b"\0\0\0\0", bytes(100)])
def test_zeros_behind(name: str, rest: bytes) -> None:
    raw = PACKED[name]
    assert unpack_prefix(raw + rest, limit=len(DATA)) == (DATA, len(raw))
    assert unpack(raw + rest, limit=len(DATA)) == DATA


@pytest.mark.parametrize("name", sorted({*PACKS} - {"lz4 legacy"}))
def test_more_behind(name: str) -> None:
    raw = PACKED[name]
    assert unpack_prefix(raw + b"070701", limit=len(DATA)) == (DATA, len(raw))
    with pytest.raises(FormatError) as caught:
        unpack(raw + b"070701", limit=len(DATA))
    assert (caught.value.field, caught.value.offset) == ("end", len(raw))


@EACH
@given(size=st.integers(1, 1000))
def test_cut_short(name: str, size: int) -> None:
    """A legacy frame may end after any of its blocks, and has only one here."""
    raw = PACKED[name]
    short = raw[: max(1, len(raw) - size)]
    if short == raw[:4]:
        return
    assert refused(short).field in (name, "magic")


@EACH
@given(noise=st.binary(min_size=1, max_size=40), at=st.integers(0, 200))
def test_broken(name: str, noise: bytes, at: int) -> None:
    """Formats without a checksum may give something else, but nothing else happens."""
    raw = bytearray(PACKED[name])
    raw[10 + at : 10 + at + len(noise)] = noise
    with suppress(FormatError):
        unpack_prefix(raw, limit=0x100000)


@pytest.mark.parametrize("name", ["gzip", "bzip2", "xz"])
def test_a_checksum_is_checked(name: str) -> None:
    raw = bytearray(PACKED[name])
    at = {"gzip": -5, "bzip2": -4, "xz": -6}[name]
    raw[at] ^= 0xFF
    assert refused(bytes(raw)).field == name


@given(st.binary(max_size=60), st.sampled_from([b"", *(c.magic for c in COMPRESSIONS)]))
def test_noise(raw: bytes, magic: bytes) -> None:
    with suppress(FormatError):
        unpack(magic + raw, limit=1000)


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        (b"", "the end"),
        (b"\x7fELF\2\1\1\0\0\0", "7f454c4602010100"),
        (b"\x89LZO\0\r\n\x1a\n" + bytes(9), "lzo"),
    ],
)
def test_no_format_that_is_unpacked(raw: bytes, found: str) -> None:
    wrong = refused(raw)
    assert (wrong.field, wrong.found) == ("magic", found)
    assert wrong.expected == "gzip, bzip2, lzma, xz, lz4, lz4 legacy, zstd"


def test_a_dictionary_has_a_limit() -> None:
    """An lzma header may ask for 4 GiB of memory before the first byte."""
    raw = bytearray(lzma_alone(DATA))
    raw[1:5] = b"\0\0\0\xf0"
    assert refused(bytes(raw)).field == "lzma"


def test_blocks_of_a_legacy_frame() -> None:
    data = bytes(BLOCK_SIZE) + b"more"
    raw = lz4_legacy(data)
    assert unpack(raw, limit=len(data)) == data
    twice = raw + raw
    assert unpack(twice, limit=2 * len(data)) == data + data
    assert refused(raw, limit=BLOCK_SIZE).field == "lz4 legacy content"


@pytest.mark.parametrize(
    ("block", "text"),
    [
        (b"\x05\0\0\0abc", "block of 0x5 bytes at 0x4"),
        (b"\x05\0\0", "block of 0x5 bytes at 0x4"),
        (b"\xff\xff\xff\xff" + bytes(40), "block of 0xffffffff bytes"),
        (b"\x04\0\0\0\xff\xff\xff\xff", "block at 0x4: "),
    ],
)
def test_broken_blocks_of_a_legacy_frame(block: bytes, text: str) -> None:
    wrong = refused(b"\x02\x21\x4c\x18" + block)
    assert wrong.field == "lz4 legacy"
    assert wrong.found.startswith(text)


def test_blocks_of_a_legacy_frame_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    block = lz4.block.compress(b"1", store_size=False)
    raw = b"\x02\x21\x4c\x18" + (struct.pack("<I", len(block)) + block) * 3
    monkeypatch.setattr("pefstack.images.lz4_legacy.MAX_BLOCK_COUNT", 3)
    assert unpack(raw, limit=9) == b"111"
    monkeypatch.setattr("pefstack.images.lz4_legacy.MAX_BLOCK_COUNT", 2)
    assert refused(raw).found == "more than 2 blocks"


def test_foreign_initramfs_images() -> None:
    for name in ("b.cpio.xz", "c.cpio.gz"):
        raw = (ESM / "in" / f"initrd-{name}").read_bytes()
        assert unpack(raw, limit=0x100000)[:6] == b"070701"


PROGRAMS = [
    ("gzip", "gzip", ["-n", "-9"]),
    ("bzip2", "bzip2", []),
    ("xz", "xz", ["--check=crc32"]),
    ("lzma", "xz", ["--format=lzma"]),
    ("lz4", "lz4", []),
    ("lz4 legacy", "lz4", ["-l"]),
    ("zstd", "zstd", []),
]


@pytest.mark.interop
@pytest.mark.parametrize(("name", "program", "options"), PROGRAMS)
def test_programs_that_pack(name: str, program: str, options: list[str]) -> None:
    package = {"xz": "xz-utils"}.get(program, program)
    data = DATA * 120  # more than one block of each
    done = subprocess.run(
        [need(program, package), *options, "-c"],
        input=data,
        capture_output=True,
        check=True,
        timeout=60,
    )
    kind = compression_of(done.stdout)
    assert kind is not None
    assert kind.name == name
    assert unpack(done.stdout, limit=len(data)) == data
