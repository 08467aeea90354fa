"""Files: read without copying, write all or nothing."""

from __future__ import annotations

import mmap
import os
import tempfile
from pathlib import Path

from pefstack.tools.errors import UsageError

MAX_INPUT_SIZE = 1 << 30


def read_bytes(path: Path) -> bytes:
    """The whole file; `UsageError` if it can't be read or is larger than 1 GiB."""
    try:
        if path.stat().st_size > MAX_INPUT_SIZE:
            raise UsageError(f"{path}: larger than 1 GiB")
        return path.read_bytes()
    except OSError as exc:
        raise UsageError(f"{path}: {exc.strerror}") from exc


def map_bytes(path: Path) -> memoryview:
    """The file mapped read-only, so that only what is looked at gets read."""
    try:
        with path.open("rb") as file:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or str(exc)
        raise UsageError(f"{path}: {reason}") from exc


def write_bytes(path: Path, content: bytes | bytearray | memoryview | str) -> None:
    """Write a file atomically: a reader sees the old content or the new."""
    raw = content.encode() if isinstance(content, str) else content
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(raw)
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as exc:
        raise UsageError(f"{path}: {exc.strerror}") from exc
