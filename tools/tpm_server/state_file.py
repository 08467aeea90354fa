"""The file in which a TPM outlasts its process: all or nothing, and one user."""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path
from struct import Struct
from typing import Final

from pefstack.images.errors import FormatError
from pefstack.tools.errors import UsageError
from pefstack.tools.files import read_bytes, unusable, write_durably

NAME: Final = "TPM state file"
MAGIC: Final = b"PEFTPM\r\n"
VERSION: Final = 1
MAX_STATE_SIZE: Final = 1 << 26
_HEADER: Final = Struct(">8sIQ")  # magic, version, size of the content
_DIGEST_SIZE: Final = 32
_CONTENT: Final = _HEADER.size + _DIGEST_SIZE


class StateFile:
    """A file of saved TPM state, locked from the beginning to `close`.

    Layout: magic (8), version u32, content size u64, SHA-256 of the header before it
    and of the content, content; big-endian. The lock is on a file beside it, FILE.lock,
    as the file itself is replaced with each write. Only its owner may read it.
    """

    def __init__(self, path: Path) -> None:
        self._path: Final = Path(os.path.realpath(path))
        self._lock: Final = _locked(self._path)

    def load(self) -> bytes | None:
        """The saved state; None where no file is. FormatError for a damaged one."""
        if not self._path.exists():
            return None
        try:
            return unpacked(read_bytes(self._path))
        except FormatError as wrong:
            name = f"{NAME} {self._path}"
            mend = f"{wrong.expected}; restore a copy, or name another file"
            field, offset, found = wrong.field, wrong.offset, wrong.found
            raise FormatError(name, field, offset, found, mend) from wrong

    def store(self, content: bytes) -> None:
        """Replace the saved state; when this returns, it is on the disk."""
        write_durably(self._path, packed(content))

    def close(self) -> None:
        """Let others have the file."""
        os.close(self._lock)


def packed(content: bytes) -> bytes:
    """The bytes of the file."""
    header = _HEADER.pack(MAGIC, VERSION, len(content))
    return header + _digest(header, content) + content


def unpacked(raw: bytes) -> bytes:
    """The content of the file; FormatError unless every byte of it is right."""
    if len(raw) < _CONTENT:
        raise _bad("size", 0, f"0x{len(raw):x} bytes", f"0x{_CONTENT:x} or more")
    magic, version, size = _HEADER.unpack_from(raw)
    if magic != MAGIC:
        raise _bad("magic", 0, magic.hex(), MAGIC.hex())
    if version != VERSION:
        raise _bad("version", 8, f"0x{version:x}", f"0x{VERSION:x}")
    content = raw[_CONTENT:]
    if size != len(content) or size > MAX_STATE_SIZE:
        raise _bad("content size", 12, f"0x{size:x}", f"0x{len(content):x}")
    digest = raw[_HEADER.size : _CONTENT]
    if digest != (right := _digest(raw[: _HEADER.size], content)):
        raise _bad("SHA-256", _HEADER.size, digest.hex(), right.hex())
    return content


def _digest(header: bytes, content: bytes) -> bytes:
    return hashlib.sha256(header + content).digest()


def _locked(path: Path) -> int:
    """The descriptor of the locked file beside ``path``."""
    beside = path.with_name(path.name + ".lock")
    try:
        lock = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except (OSError, ValueError) as exc:
        raise unusable(beside, exc) from exc
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        os.close(lock)
        raise UsageError(f"{path}: another TPM server uses it ({beside})") from exc
    return lock


def _bad(field: str, offset: int, found: str, expected: str) -> FormatError:
    return FormatError(NAME, field, offset, found, expected)
