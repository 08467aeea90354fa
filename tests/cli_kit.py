"""Run the command line as a user does: another process, a pipe or a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
BOOT: Final = str(ROOT / "tools" / "boot.py")
PEF: Final = (sys.executable, "-m", "pefstack.tools.cli")
SECONDS: Final = 60


def surroundings(**changes: str | None) -> dict[str, str]:
    """The environment of a child: this tree first, nothing that sets a style."""
    base: dict[str, str | None] = {"PYTHONPATH": str(ROOT / "src")}
    base |= dict.fromkeys(("NO_COLOR", "COLUMNS", "PYTHONHASHSEED", "TZ"))
    merged = {**os.environ, **base, **changes}
    return {name: value for name, value in merged.items() if value is not None}


def pef(
    *words: str, cwd: Path = ROOT, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """`pef WORDS` with its output caught."""
    return subprocess.run(
        [*PEF, *words],
        cwd=cwd,
        env=surroundings() if env is None else env,
        text=True,
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )


def on_terminal(
    *words: str, columns: int, env: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Exit code and output of `pef WORDS` on a terminal this many columns wide."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    child = subprocess.Popen(
        [*PEF, *words],
        env=surroundings() if env is None else env,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        output = b"".join(_until_closed(terminal.fileno()))
    return child.wait(SECONDS), output.decode().replace("\r\n", "\n")


def _until_closed(terminal: int) -> Iterator[bytes]:
    """What is shown, until the last process has gone (Linux then says EIO)."""
    try:
        while shown := os.read(terminal, 1 << 16):
            yield shown
    except OSError:
        return
