"""Unmodified tpm2-tools in a folder, on one of our servers or on a real swtpm."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from interop import need
from swtpm_kit import SECONDS, swtpm
from tpm_server_kit import serving

TPMS: Final = ("mssim", "swtpm", "reference")
LEAVE_NO_OBJECT: Final = ("flush", "getcap", "getrandom", "nv", "pcr", "startup")
CODE: Final = re.compile(r"\(0x([0-9A-Fa-f]+)\)")


class Tools:
    """Runs programs of tpm2-tools where their files lie.

    The tools leave objects in the TPM when they end; these are flushed after each, as
    there is room for three and a resource manager is a test of its own.
    """

    def __init__(
        self, tcti: str, folder: Path, *, flush: bool = True, bus: str = ""
    ) -> None:
        self.tcti = tcti
        self.folder = folder
        self.flush = flush
        self.bus = bus  # address of the D-Bus of a resource manager

    def __call__(self, line: str, *more: str) -> str:
        """What the tool prints; it must succeed. ``line`` is split as a shell does."""
        done = self.run(line, *more)
        assert done.returncode == 0, (line, more, done.stdout + done.stderr)
        return done.stdout

    def refused(self, line: str, *more: str) -> int:
        """The response code with which the TPM refused it; 0: the tool itself did."""
        done = self.run(line, *more)
        assert done.returncode != 0, (line, more, done.stdout)
        codes = CODE.findall(done.stderr)
        return int(codes[-1], 16) if codes else 0

    def run(self, line: str, *more: str) -> subprocess.CompletedProcess[str]:
        tool, *words = shlex.split(line)
        done = self._run(tool, *words, *more)
        if self.flush and not tool.startswith(LEAVE_NO_OBJECT):
            self._run("flushcontext", "-t")
        return done

    def _run(self, tool: str, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [need(f"tpm2_{tool}", "tpm2-tools"), *words],
            env=self.environment(),
            cwd=self.folder,
            text=True,
            errors="replace",
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )

    def environment(self) -> dict[str, str]:
        """The settings of a tool's process."""
        settings = {"TPM2TOOLS_TCTI": self.tcti, "TSS2_LOG": "all+none"}
        if self.bus:
            settings["DBUS_SESSION_BUS_ADDRESS"] = self.bus
        return os.environ | settings

    def read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def write(self, name: str, content: bytes) -> str:
        (self.folder / name).write_bytes(content)
        return name

    def openssl(self, line: str) -> str:
        """What openssl prints; it must succeed."""
        done = subprocess.run(
            [need("openssl", "openssl"), *shlex.split(line)],
            cwd=self.folder,
            text=True,
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, (line, done.stderr)
        return done.stdout

    @contextmanager
    def session(self, options: str = "--policy-session") -> Iterator[str]:
        """A session file, flushed at the end."""
        self(f"startauthsession {options} -S session.ctx")
        yield "session.ctx"
        self("flushcontext session.ctx")


@contextmanager
def tools_on(tpm: str, folder: Path) -> Iterator[Tools]:
    """A started TPM: ours over one of its protocols, or the reference, a swtpm."""
    if tpm == "reference":
        state = folder / "swtpm"
        state.mkdir()
        with swtpm(state) as port:
            tools = Tools(f"swtpm:host=127.0.0.1,port={port}", folder)
            tools("startup -c")
            yield tools
        return
    with serving() as running:
        yield Tools(running.addresses[tpm].tcti, folder)
