"""Files: read without copying, write all or nothing."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

from pefstack.tools.errors import UsageError

MAX_INPUT_SIZE = 1 << 30


def read_bytes(path: Path) -> bytes:
    """The whole file; `UsageError` if it can't be read or is larger than 1 GiB."""
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            # a device or a pipe has no size that could be asked for
            limit = -1 if path.is_file() else MAX_INPUT_SIZE + 1
            raw = b"" if size > MAX_INPUT_SIZE else file.read(limit)
    except (OSError, ValueError) as exc:
        raise unusable(path, exc) from exc
    if max(size, len(raw)) > MAX_INPUT_SIZE:
        raise UsageError(f"{path}: larger than 1 GiB")
    return raw


def map_bytes(path: Path) -> memoryview:
    """The file mapped read-only, so that only what is looked at gets read.

    A pipe, and a file without bytes, cannot be mapped: they are read as a whole.
    """
    try:
        if not path.is_file() or not path.stat().st_size:
            return memoryview(read_bytes(path))
        with path.open("rb") as file:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError) as exc:
        raise unusable(path, exc) from exc


def write_bytes(path: Path, content: bytes | bytearray | memoryview | str) -> None:
    """Write a file atomically: a reader sees the old content or the new.

    A link stays a link; a device or a pipe is written to as it is.
    """
    _write(path, content.encode() if isinstance(content, str) else content)


def write_secret(path: Path, raw: bytes) -> None:
    """As `write_bytes`, and no moment passes in which others can read the file."""
    _write(path, raw, mode=0o600)


def _write(path: Path, raw: bytes | bytearray | memoryview, mode: int = 0o644) -> None:
    try:
        if path.exists() and not path.is_file():
            with path.open("wb") as device:
                device.write(raw)
        else:
            _replace(Path(os.path.realpath(path)), raw, mode)
    except (OSError, ValueError) as exc:
        raise unusable(path, exc) from exc


def write_durably(path: Path, raw: bytes) -> None:
    """Write a file atomically, for its owner alone; on return it is on the disk.

    A power failure at any moment leaves the old content or the new.
    """
    try:
        _replace(path, raw, mode=0o600)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except (OSError, ValueError) as exc:
        raise unusable(path, exc) from exc


def write_new_secret(path: Path, raw: bytes) -> None:
    """Write a new file for its owner alone; `UsageError` when there is one already."""
    try:
        temporary = _temporary(path, raw, 0o600)
        try:
            path.hardlink_to(temporary)
        finally:
            temporary.unlink(missing_ok=True)
    except (OSError, ValueError) as exc:
        raise unusable(path, exc) from exc


def rewrite_bytes(path: Path, raw: bytes) -> None:
    """As `write_bytes`, and a file that is there keeps its permissions."""
    if not path.is_file():
        write_bytes(path, raw)
        return
    try:
        mode = path.stat().st_mode & 0o7777
        _replace(Path(os.path.realpath(path)), raw, mode)
    except (OSError, ValueError) as exc:
        raise unusable(path, exc) from exc


def make_folder(path: Path) -> None:
    """The folder and those above it, unless they are there; `UsageError`."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as exc:
        raise unusable(path, exc) from exc


def _replace(
    path: Path, raw: bytes | bytearray | memoryview, mode: int = 0o644
) -> None:
    temporary = _temporary(path, raw, mode)
    try:
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _temporary(path: Path, raw: bytes | bytearray | memoryview, mode: int) -> Path:
    """A file beside ``path`` with this content, on the disk; gone if that fails."""
    from tempfile import mkstemp  # a boot writes nothing

    handle, name = mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(mode)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def unusable(path: Path, exc: OSError | ValueError) -> UsageError:
    """In the words of the system; a ValueError is a path that no system can have."""
    reason = getattr(exc, "strerror", None) or str(exc)
    return UsageError(f"{path}: {reason}")
