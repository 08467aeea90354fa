"""The TPM server against swtpm: the same client, the same commands, in one run.

A ratio is our speed as a part of swtpm's, or for a whole program our time as a part of
its time on swtpm. A run prints; it never judges. `--short` takes fewer rounds.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pefstack.hw.tpm import client
from pefstack.hw.tpm.codes import TpmAlgId

ROOT: Final = Path(__file__).parent.parent
COMMANDS: Final = {
    "PCR_Extend": client.pcr_extend(16, {TpmAlgId.SHA256: bytes(32)}),
    "PCR_Read": client.pcr_read({TpmAlgId.SHA256: tuple(range(8))}),
    "GetRandom": client.get_random(32),
}
_MANY: Final = 300  # commands in a round


def main() -> None:
    """Print every figure that has a peer on this machine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="fewer rounds")
    rounds = 5 if parser.parse_args().short else 15
    program = shutil.which("swtpm")
    if program is None:
        print("swtpm is missing (Debian package swtpm): no peer for the TPM server")
        return
    print(f"{'figure':<46} {'ours':>10}  {'against':<34} {'ratio':>6}")
    with ours() as port, swtpm(program) as peer:
        for name, command in COMMANDS.items():
            row_of_command(name, command, port, peer, rounds)
        rows_of_programs(port, peer, rounds)


def row_of_command(
    name: str, command: bytes, port: int, peer: int, rounds: int
) -> None:
    """Commands a second on one open connection, turn by turn."""
    with connected(port) as mine, connected(peer) as other:
        times = alternating(
            lambda: exchange(mine, command), lambda: exchange(other, command), rounds
        )
    speed, against = (_MANY / each for each in times)
    peers = f"swtpm {against:.0f}/s"
    print(f"{'tpm: ' + name:<46} {speed:>8.0f}/s  {peers:<34} {speed / against:>6.2f}")


def rows_of_programs(port: int, peer: int, rounds: int) -> None:
    """A whole run of tpm2_pcrread, which is a dozen commands."""
    program = shutil.which("tpm2_pcrread")
    if program is None:
        print("tpm2_pcrread is missing (Debian package tpm2-tools)")
        return
    times = alternating(
        lambda: tool(program, port), lambda: tool(program, peer), 2 * rounds
    )
    mine, against = (each * 1e3 for each in times)
    peers = f"swtpm {against:.2f} ms"
    print(
        f"{'tpm: a whole tpm2_pcrread':<46} {mine:>7.2f} ms"
        f"  {peers:<34} {mine / against:>6.2f}"
    )


def alternating(
    one: Callable[[], object], other: Callable[[], object], rounds: int
) -> tuple[float, float]:
    """The fewest seconds of both, taken in turns: others share this machine."""
    times: tuple[list[float], list[float]] = [], []
    for _ in range(rounds):
        for action, kept in zip((one, other), times, strict=True):
            start = time.perf_counter()
            action()
            kept.append(time.perf_counter() - start)
    return min(times[0]), min(times[1])


def exchange(connection: socket.socket, command: bytes) -> None:
    """Many commands, each after the response to the one before."""
    for _ in range(_MANY):
        connection.sendall(command)
        answer = connection.recv(4096)
        if answer[6:10] != bytes(4):
            raise SystemExit(f"a command was refused: {answer.hex()}")


def tool(program: str, port: int) -> None:
    """One run, over the data port."""
    tcti = f"swtpm:host=127.0.0.1,port={port}"
    subprocess.run(
        [program],
        check=True,
        env=os.environ | {"TPM2TOOLS_TCTI": tcti},
        stdout=subprocess.DEVNULL,
    )


@contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    """A connection to a data port."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield connection


@contextmanager
def ours() -> Iterator[int]:
    """Our server in a process of its own; its data port."""
    words = ["-m", "pefstack.tools.cli", "tpm", "serve", "--startup-clear"]
    with subprocess.Popen(
        [sys.executable, *words, "--swtpm", "0"],
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            lines = [child.stdout.readline() if child.stdout else "" for _ in range(2)]
            found = re.search(r"port=(\d+)", lines[-1])
            if found is None:
                raise SystemExit("our server did not start")
            yield int(found[1])
        finally:
            child.terminate()


@contextmanager
def swtpm(program: str) -> Iterator[int]:
    """swtpm with an empty state; its data port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        child = subprocess.Popen(
            [
                *(
                    program,
                    "socket",
                    "--tpm2",
                    "--flags",
                    "not-need-init,startup-clear",
                ),
                *("--tpmstate", f"dir={folder}"),
                *("--server", f"type=tcp,port={port},bindaddr=127.0.0.1"),
                *("--ctrl", f"type=tcp,port={port + 1},bindaddr=127.0.0.1"),
            ]
        )
        try:
            wait_for(port + 1)
            yield port
        finally:
            child.kill()
            child.wait()


def wait_for(port: int) -> None:
    """Until something listens there."""
    end = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)
        else:
            return


if __name__ == "__main__":
    main()
