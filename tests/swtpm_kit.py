"""A real swtpm, and programs of tpm2-tools and IBM's TSS with their settings."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Final

from free_ports import free_ports
from interop import need

SECONDS: Final = 30


@contextmanager
def swtpm(folder: Path) -> Iterator[int]:
    """swtpm with an empty state; its data port, the control port is the next."""
    program = need("swtpm", "swtpm")
    for port in islice(free_ports(), 8):
        child = subprocess.Popen(
            [
                *(program, "socket", "--tpm2", "--flags", "not-need-init"),
                *("--tpmstate", f"dir={folder}"),
                *("--server", f"type=tcp,port={port},bindaddr=127.0.0.1"),
                *("--ctrl", f"type=tcp,port={port + 1},bindaddr=127.0.0.1"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            if _listens(child, port + 1):
                yield port
                return
        finally:
            child.kill()
            child.wait(SECONDS)
    raise OSError("swtpm did not start")


def run(*words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """A client program with these environment variables."""
    return subprocess.run(
        words,
        env=os.environ | settings,
        text=True,
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )


def tpm2(tcti: str, tool: str, *words: str) -> str:
    """What a program of tpm2-tools prints; it must succeed."""
    program = need(f"tpm2_{tool}", "tpm2-tools")
    done = run(program, *words, TPM2TOOLS_TCTI=tcti, TSS2_LOG="all+none")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def ibm(kind: str, port: int, tool: str, *words: str) -> str:
    """What a program of IBM's TSS prints; ``kind`` is mssim or raw (swtpm)."""
    done = run(
        need(f"tss{tool}", "tss2"),
        *words,
        TPM_INTERFACE_TYPE="socsim",
        TPM_SERVER_NAME="127.0.0.1",
        TPM_SERVER_TYPE=kind,
        TPM_COMMAND_PORT=str(port),
        TPM_PLATFORM_PORT=str(port + 1),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _listens(child: subprocess.Popen[bytes], port: int) -> bool:
    """Whether it gets as far as that; a taken port ends it."""
    end = time.monotonic() + SECONDS
    while child.poll() is None and time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return True
    return False
