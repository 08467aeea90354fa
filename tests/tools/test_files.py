"""Files: read with a bound, written all or nothing."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from pefstack import UsageError
from pefstack.tools import files
from pefstack.tools.files import (
    make_folder,
    map_bytes,
    read_bytes,
    rewrite_bytes,
    write_bytes,
    write_new_secret,
)


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def test_write_and_read(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    write_bytes(path, b"old")
    write_bytes(path, memoryview(b"new\xff"))
    assert read_bytes(path) == b"new\xff"
    assert bytes(map_bytes(path)) == b"new\xff"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    write_bytes(path, "é\n")
    assert read_bytes(path) == b"\xc3\xa9\n"
    assert names(tmp_path) == ["a.bin"]


def test_a_failing_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.bin"
    write_bytes(path, b"old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match=r"a\.bin: No space left on device"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_an_interrupted_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.bin"
    write_bytes(path, b"old")

    def interrupted(handle: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    write_bytes(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_bytes(pipe, b"log")
        assert os.read(reader, 10) == b"log"
    finally:
        os.close(reader)
    assert pipe.is_fifo()


@pytest.mark.parametrize("name", ["none/a.bin", ".", "a\0b", "a" * 300, "file/a"])
def test_where_nothing_can_be_written(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=str(tmp_path)):
        write_bytes(tmp_path / name, b"x")
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("name", ["none", ".", "a\0b", "a" * 300, "file/a"])
def test_what_cannot_be_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    for read in (read_bytes, map_bytes):
        with pytest.raises(UsageError, match=str(tmp_path)):
            read(tmp_path / name)


def test_what_cannot_be_mapped_is_read(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert read_bytes(tmp_path / "empty") == bytes(map_bytes(tmp_path / "empty")) == b""
    there, here = os.pipe()
    os.write(here, b"abc")
    os.close(here)
    assert bytes(map_bytes(Path(f"/proc/self/fd/{there}"))) == b"abc"
    os.close(there)


def test_a_file_that_is_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_INPUT_SIZE", 3)
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    assert read_bytes(path) == b"abc"
    path.write_bytes(b"abcd")
    with pytest.raises(UsageError, match="a: larger than 1 GiB"):
        read_bytes(path)


def test_a_device_without_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_INPUT_SIZE", 100)
    with pytest.raises(UsageError, match="/dev/zero: larger than 1 GiB"):
        read_bytes(Path("/dev/zero"))


def test_make_folder(tmp_path: Path) -> None:
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").touch()
    for name in ("file", "file/a", "a\0b"):
        with pytest.raises(UsageError, match=str(tmp_path)):
            make_folder(tmp_path / name)


def test_a_new_secret_takes_the_place_of_nothing(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    write_new_secret(path, b"first")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for there in (path, tmp_path / "link"):
        if there != path:
            there.symlink_to(tmp_path / "gone")
        with pytest.raises(UsageError, match="File exists"):
            write_new_secret(there, b"second")
    assert path.read_bytes() == b"first"
    assert names(tmp_path) == ["link", "secret"]


def test_a_rewritten_file_keeps_link_and_permissions(tmp_path: Path) -> None:
    path, link = tmp_path / "file", tmp_path / "link"
    rewrite_bytes(path, b"first")
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    path.chmod(0o600)
    link.symlink_to(path)
    rewrite_bytes(link, b"second")
    assert (path.read_bytes(), link.is_symlink()) == (b"second", True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert names(tmp_path) == ["file", "link"]
