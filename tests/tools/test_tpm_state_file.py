"""The state file: all or nothing, one user, damage refused, nothing forgotten."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli_kit import SECONDS, surroundings
from pefstack import FormatError, UsageError
from pefstack.tools.tpm_server.state_file import (
    MAGIC,
    StateFile,
    packed,
    unpacked,
)
from tpm_kit import (
    SHA256,
    SHUTDOWN_CLEAR,
    SHUTDOWN_STATE,
    STARTUP_STATE,
    allocate,
    extend,
    rc_of,
)
from tpm_server_kit import serving

GET_RANDOM = bytes.fromhex("80010000000c0000017b0010")
READ_CLOCK = bytes.fromhex("80010000000a00000181")


@contextmanager
def opened(path: Path) -> Iterator[StateFile]:
    file = StateFile(path)
    try:
        yield file
    finally:
        file.close()


@given(st.binary(max_size=200))
def test_round_trip(content: bytes) -> None:
    assert unpacked(packed(content)) == content


def test_layout() -> None:
    head = b"PEFTPM\r\n" + bytes.fromhex("00000001" + "0000000000000003")
    digest = hashlib.sha256(head + b"abc").digest()
    assert packed(b"abc") == head + digest + b"abc"


@given(st.binary(max_size=64), st.data())
def test_any_changed_byte_is_noticed(content: bytes, data: st.DataObject) -> None:
    raw = bytearray(packed(content))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(FormatError):
        unpacked(bytes(raw))


@given(st.binary(max_size=64), st.data())
def test_cut_short_or_longer(content: bytes, data: st.DataObject) -> None:
    raw = packed(content)
    with pytest.raises(FormatError):
        unpacked(raw[: data.draw(st.integers(0, len(raw) - 1))])
    with pytest.raises(FormatError):
        unpacked(raw + data.draw(st.binary(min_size=1, max_size=8)))


@given(st.binary(max_size=200))
def test_noise_is_refused_politely(raw: bytes) -> None:
    with suppress(FormatError):
        unpacked(raw)
    with suppress(FormatError):
        unpacked(MAGIC + raw)


@pytest.mark.parametrize(
    ("at", "field"), [(0, "magic"), (11, "version"), (19, "content size")]
)
def test_each_field_is_named(at: int, field: str) -> None:
    raw = bytearray(packed(b"abc"))
    raw[at] ^= 1
    with pytest.raises(FormatError) as caught:
        unpacked(bytes(raw))
    assert caught.value.field == field


def test_a_damaged_content_is_named_with_both_digests() -> None:
    raw = packed(b"abc")[:-1] + b"d"
    with pytest.raises(FormatError) as caught:
        unpacked(raw)
    assert caught.value.field == "SHA-256"
    assert caught.value.expected == hashlib.sha256(raw[:20] + b"abd").hexdigest()


def test_damage_says_which_file_and_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "tpm.state"
    path.write_bytes(b"")
    with opened(path) as file, pytest.raises(FormatError) as caught:
        file.load()
    assert str(path) in str(caught.value)
    assert "restore a copy" in str(caught.value)
    assert path.read_bytes() == b""


def test_stored_is_what_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "tpm.state"
    with opened(path) as file:
        assert file.load() is None
        for content in (b"one", b"two" * 1000, b""):
            file.store(content)
            assert file.load() == content
    assert path.stat().st_mode & 0o777 == 0o600
    assert {each.name for each in tmp_path.iterdir()} == {"tpm.state", "tpm.state.lock"}


def test_a_second_user_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tpm.state"
    link = tmp_path / "link"
    link.symlink_to(path)
    with opened(path):
        for name in (path, link):
            with pytest.raises(UsageError, match="another TPM server"):
                StateFile(name)
    with opened(link):
        pass


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file"):
        StateFile(tmp_path / "no" / "tpm.state")


def test_data_is_on_the_disk_before_the_name_and_the_name_before_it_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    sync, replace = os.fsync, Path.replace

    def fsync(handle: int) -> None:
        folder = Path(f"/proc/self/fd/{handle}").is_dir()
        calls.append("folder" if folder else "file")
        sync(handle)

    def moved(self: Path, target: Path) -> Path:
        calls.append("replace")
        return replace(self, target)

    monkeypatch.setattr("pefstack.tools.files.os.fsync", fsync)
    monkeypatch.setattr(Path, "replace", moved)
    with opened(tmp_path / "tpm.state") as file:
        file.store(b"content")
    assert calls == ["file", "replace", "folder"]


_KILLED: str = """
import os, resource, signal, sys
from pathlib import Path
from pefstack.tools import files
from pefstack.tools.tpm_server.state_file import StateFile, packed

path = Path(sys.argv[1])
file = StateFile(path)
old, new = b"old" * 40, b"new" * 50
size = len(packed(new))


def dies_at(step):
    \"\"\"A kill at byte ``step`` of the file, or at one of the calls behind them.\"\"\"
    if step <= size:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (step, step))
        return
    kill = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    if step == size + 1:
        files.os.fsync = kill
    elif step == size + 2:
        Path.replace = kill
    elif step == size + 3:
        calls = []
        sync = os.fsync
        files.os.fsync = lambda h: kill() if calls else (calls.append(h), sync(h))


seen = {}
for step in range(size + 5):
    file.store(old)
    child = os.fork()
    if not child:
        dies_at(step)
        file.store(new)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    content = file.load()
    assert content in (old, new), step
    for left in path.parent.glob(".tpm.state.*"):
        left.unlink()
    what = "new" if content == new else "old"
    died = "killed" if os.WIFSIGNALED(status) else "ended"
    seen.setdefault((died, what), []).append(step)
print({key: (steps[0], steps[-1], len(steps)) for key, steps in seen.items()})
"""


def test_a_kill_at_any_byte_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _KILLED, str(tmp_path / "tpm.state")],
        env=surroundings(),
        text=True,
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    size = len(packed(b"new" * 50))
    assert done.stdout == (
        repr(
            {
                ("killed", "old"): (0, size + 2, size + 2),
                ("ended", "new"): (size, size + 4, 2),
                ("killed", "new"): (size + 3, size + 3, 1),
            }
        )
        + "\n"
    )


# A server with a file.


def test_what_a_client_did_is_in_the_file_before_its_answer(tmp_path: Path) -> None:
    path = tmp_path / "tpm.state"
    with serving(state=path) as running, running.client("swtpm") as data:
        before = path.read_bytes()
        data.send(SHUTDOWN_STATE).response()
        after = path.read_bytes()
        assert after != before
        assert unpacked(after)
        data.send(GET_RANDOM).response()
        assert path.read_bytes() == after  # nothing that lasts


def test_a_tpm_outlasts_its_server(tmp_path: Path) -> None:
    path = tmp_path / "tpm.state"
    with serving(state=path) as running, running.client("swtpm") as data:
        data.send(extend(3, (SHA256, b"\7" * 32))).response()
        assert rc_of(data.send(SHUTDOWN_STATE).response()) == 0
    again = serving(state=path, startup=False)
    with again as running, running.client("swtpm") as data:
        assert rc_of(data.send(STARTUP_STATE).response()) == 0
        read = bytes.fromhex("80010000001400000" + "17e00000001000b03080000")
        answer = data.send(read).response()
    assert answer[30:] == hashlib.sha256(bytes(32) + b"\7" * 32).digest()


def test_a_server_that_was_killed(tmp_path: Path) -> None:
    """After each answer the file alone is taken: it knows of everything answered."""
    path, copy = tmp_path / "tpm.state", tmp_path / "copy.state"
    with serving(state=path) as running, running.client("swtpm") as data:
        assert rc_of(data.send(allocate((4, "000000"))).response()) == 0
        assert rc_of(data.send(SHUTDOWN_CLEAR).response()) == 0
        copy.write_bytes(path.read_bytes())
        data.send(extend(0, (SHA256, bytes(32)))).response()  # undoes Shutdown
        late = path.read_bytes()
        clock = data.send(READ_CLOCK).response()
    for content, safe in ((copy.read_bytes(), 1), (late, 0)):
        copy.write_bytes(content)
        with serving(state=copy) as running, running.client("swtpm") as data:
            info = data.send(READ_CLOCK).response()
            assert info[26:34] == bytes((0, 0, 0, 2, 0, 0, 0, 0))
            assert info[34] == safe
            now = int.from_bytes(info[18:26], "big")
            assert now + 4096 >= int.from_bytes(clock[18:26], "big")


@pytest.mark.parametrize("seed", [None, "test"])
def test_no_randomness_comes_twice(tmp_path: Path, seed: str | None) -> None:
    path, copy = tmp_path / "tpm.state", tmp_path / "copy.state"
    seen: set[bytes] = set()
    for _ in range(4):
        with serving(seed=seed, state=path) as running:
            with running.client("swtpm") as data:
                seen.add(data.send(GET_RANDOM).response())
            copy.write_bytes(path.read_bytes())
        path.write_bytes(copy.read_bytes())  # as if it had been killed
    assert len(seen) == 4


def test_a_seed_decides_and_none_decides_nothing() -> None:
    drawn = []
    for seed in ("a", "a", "b", None, None):
        with serving(seed=seed) as running, running.client("swtpm") as data:
            drawn.append(data.send(GET_RANDOM).response())
    assert drawn[0] == drawn[1]
    assert len({*drawn}) == 4


def test_nothing_is_answered_that_could_not_be_saved(tmp_path: Path) -> None:
    folder = tmp_path / "there"
    folder.mkdir()
    with serving(state=folder / "tpm.state") as running:
        with running.client("swtpm") as data:
            folder.rename(tmp_path / "gone")
            data.send(SHUTDOWN_CLEAR)
            assert data.is_closed()
        running.join()
    assert isinstance(running.error, UsageError)


def test_the_file_is_free_after_a_bad_start(tmp_path: Path) -> None:
    path = tmp_path / "tpm.state"
    path.write_bytes(packed(b"no table"))
    for _ in range(2):
        with pytest.raises(FormatError), serving(state=path):
            pass
    assert path.read_bytes() == packed(b"no table")
