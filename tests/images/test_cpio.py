"""cpio archives: round trips, GNU cpio, every field that is checked."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elf_kit import ESM
from interop import need
from pefstack.images.cpio import (
    MAX_ENTRY_COUNT,
    CpioEntry,
    entries_of,
    file_with_folders,
    read_archive,
    write_archive,
)
from pefstack.images.cpio_header import CpioHeader
from pefstack.images.errors import FormatError

U32 = st.integers(0, 2**32 - 1)


def entries() -> st.SearchStrategy[CpioEntry]:
    letters = st.characters(min_codepoint=1, max_codepoint=0xFF)
    names = st.text(letters, min_size=1, max_size=20).filter("TRAILER!!!".__ne__)
    return st.builds(
        CpioEntry,
        name=names,
        data=st.binary(max_size=40),
        mode=U32,
        ino=U32,
        uid=U32,
        gid=U32,
        nlink=U32,
        mtime=U32,
        devmajor=U32,
        devminor=U32,
        rdevmajor=U32,
        rdevminor=U32,
    )


def plain(read: tuple[CpioEntry, ...]) -> list[CpioEntry]:
    """With bytes for views."""
    return [replace(each, data=bytes(each.data)) for each in read]


@given(st.lists(entries(), max_size=4), st.binary(max_size=600))
def test_round_trip(made: list[CpioEntry], behind: bytes) -> None:
    raw = write_archive(made)
    assert len(raw) % 512 == 0
    read, size = read_archive(raw + behind)
    assert plain(read) == made
    assert write_archive(read, padding=4) == raw[:size]
    assert raw[size:] == bytes(len(raw) - size)
    assert len(raw) - size < 512


@given(st.lists(entries(), min_size=1, max_size=3), st.integers(0, 0x10000))
def test_cut_short(made: list[CpioEntry], size: int) -> None:
    raw = write_archive(made, padding=4)
    whole = len(raw) - (-121 % 4)  # the trailer's own padding may be missing
    with pytest.raises(FormatError):
        read_archive(raw[: size % whole])


@given(st.binary(max_size=300), st.sampled_from([b"", b"070701", b"070702"]))
def test_noise(raw: bytes, start: bytes) -> None:
    with pytest.raises(FormatError):
        read_archive(start + raw)


def test_bytes_of_an_archive() -> None:
    """All of it, put together by hand."""
    entry = CpioEntry(name="a", data=b"12345", mode=0o100644, ino=0xBEEF, mtime=1)
    zero = "00000000"
    numbers = ["0000BEEF", "000081A4", zero, zero, "00000001", "00000001", "00000005"]
    numbers += [zero] * 4 + ["00000002", zero]
    trailer = [zero, zero, zero, zero, "00000001"] + [zero] * 6 + ["0000000B", zero]
    text = "070701" + "".join(numbers) + "a\0" + "12345\0\0\0"
    text += "070701" + "".join(trailer) + "TRAILER!!!\0\0\0\0"
    assert write_archive([entry], padding=4) == text.encode()
    assert len(write_archive([entry])) == 512


def test_folders_come_before_their_file() -> None:
    made = file_with_folders("opt/ibm/pef/x", b"1")
    names = [".", "opt", "opt/ibm", "opt/ibm/pef", "opt/ibm/pef/x"]
    assert [each.name for each in made] == names
    assert [each.mode for each in made] == [0o040755] * 4 + [0o100644]


def test_foreign_archive() -> None:
    read, size = read_archive((ESM / "in" / "initrd-a.cpio").read_bytes())
    names = [(each.name, len(each.data)) for each in read]
    assert names == [(".", 0), ("bin", 0), ("etc", 0), ("etc/id", 5), ("init", 0x26)]
    assert size == 0x2F0
    read, _ = read_archive((ESM / "cases" / "cpio-lowerhex.initrd").read_bytes())
    assert read[-1].name == "opt/ibm/pef/x.dtb"


GOOD = write_archive([CpioEntry(name="ab", data=b"12345")], padding=4)


def patched(at: int, value: bytes, raw: bytes = GOOD) -> bytes:
    return raw[:at] + value + raw[at + len(value) :]


REFUSED = [
    (b"", "magic", 0),
    (patched(0, b"070707"), "magic", 0),
    (GOOD[:109], "header", 0),
    (patched(6, b"x"), "header", 6),
    (patched(20, b" "), "header", 20),
    (patched(21, b"_"), "header", 21),
    (patched(14, b"+"), "header", 14),
    (patched(54, b"FFFFFFFF"), "filesize", 54),
    (patched(54, b"7"), "filesize", 54),
    (patched(94, b"00000001"), "namesize", 94),
    (patched(94, b"00000000"), "namesize", 94),
    (patched(94, b"FFFFFFFF"), "namesize", 94),
    (patched(94, b"00001001", GOOD + bytes(0x2000)), "namesize", 94),
    (patched(112, b"x"), "name", 110),
    (patched(111, b"\0"), "name", 110),
    (GOOD[:124], "magic", 124),
    (patched(124, b"x"), "magic", 124),
    (GOOD[:-5], "namesize", 124 + 94),
]


@pytest.mark.parametrize(("raw", "field", "offset"), REFUSED)
def test_refused(raw: bytes, field: str, offset: int) -> None:
    with pytest.raises(FormatError) as caught:
        read_archive(raw)
    assert caught.value.format_name == "cpio"
    assert (caught.value.field, caught.value.offset) == (field, offset)


def test_the_checksum_is_checked() -> None:
    total = f"{sum(b'12345'):08X}".encode()
    good = patched(102, total, patched(0, b"070702"))
    assert read_archive(good)[0][0].name == "ab"
    with pytest.raises(FormatError, match="check, at 0x66"):
        read_archive(patched(102, b"00000001", good))


def test_what_is_not_written() -> None:
    for name in ("", "a\0b", "x" * 4096, "\u20ac", "TRAILER!!!"):
        with pytest.raises(FormatError, match="name"):
            write_archive([CpioEntry(name=name)])
    with pytest.raises(FormatError, match="header"):
        write_archive([CpioEntry(name="a", mode=2**32)])
    with pytest.raises(FormatError, match="header"):
        CpioHeader(namesize=-1).to_bytes()


def test_the_number_of_files_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_ENTRY_COUNT > 100_000  # a distribution's initramfs has some thousand
    monkeypatch.setattr("pefstack.images.cpio.MAX_ENTRY_COUNT", 3)
    assert len(list(entries_of(write_archive([CpioEntry(name="a")] * 2)))) == 3
    with pytest.raises(FormatError, match="entries"):
        list(entries_of(write_archive([CpioEntry(name="a")] * 3)))


@pytest.mark.interop
def test_gnu_cpio_unpacks_what_we_write(tmp_path: Path) -> None:
    program = need("cpio", "cpio")
    raw = write_archive(file_with_folders("opt/ibm/pef/blob", b"content"))
    done = subprocess.run(
        [program, "-i", "-d", "--quiet"],
        input=raw,
        cwd=tmp_path,
        check=True,
        timeout=60,
        capture_output=True,
    )
    assert done.stderr == b""
    assert (tmp_path / "opt" / "ibm" / "pef" / "blob").read_bytes() == b"content"


@pytest.mark.interop
def test_what_gnu_cpio_writes(tmp_path: Path) -> None:
    program = need("cpio", "cpio")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_bytes(bytes(range(256)) * 9)
    for form in ("newc", "crc"):
        done = subprocess.run(
            [program, "-o", "-H", form, "--quiet"],
            input=b"folder\nfolder/file\n",
            cwd=tmp_path,
            check=True,
            timeout=60,
            capture_output=True,
        )
        read, _ = read_archive(done.stdout)
        assert [each.name for each in read] == ["folder", "folder/file"]
        assert bytes(read[1].data) == bytes(range(256)) * 9
        assert len(done.stdout) % 512 == 0
