"""The password of a secret key: from a file, or asked for on the terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from pefstack.tools.errors import UsageError
from pefstack.tools.files import read_bytes

MAX_SIZE: Final = 1023  # what OpenSSL takes
Password = Callable[[Path], bytes]
"""Gives the password of the key in this file; called only if the key has one."""


def password_of(file: Path | None) -> Password:
    """The first line of ``file``, or of standard input for ``-``; without, ask."""
    if file is None:
        return lambda key: asked(f"password of {key}: ")
    return lambda _: password_in(file)


def password_in(file: Path) -> bytes:
    """The first line of a file without its end; `UsageError` for none, or too long."""
    raw = sys.stdin.buffer.read(MAX_SIZE + 2) if str(file) == "-" else read_bytes(file)
    line = raw.partition(b"\n")[0].removesuffix(b"\r")
    if not 0 < len(line) <= MAX_SIZE:
        right = f"a password of 1 to {MAX_SIZE} bytes in the first line"
        raise UsageError(f"{file}: found {len(line)} bytes, expected {right}")
    return line


def asked(prompt: str) -> bytes:
    """What the person at the terminal types, unseen; `UsageError` without one."""
    from getpass import getpass

    if not sys.stdin.isatty():
        raise UsageError(f"{prompt.rstrip(': ')}: no terminal; use --password-file")
    try:
        return getpass(prompt).encode("utf-8", "surrogateescape")
    except EOFError:
        raise UsageError(f"{prompt.rstrip(': ')}: none was given") from None


def asked_twice(path: Path) -> bytes:
    """A new password, typed twice; empty for none. `UsageError` if they differ."""
    first = asked(f"password of {path} (empty for none): ")
    if asked("the same again: ") != first:
        raise UsageError("the passwords are not the same")
    return first
