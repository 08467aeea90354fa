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
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pefstack.hw.tpm import client
from pefstack.hw.tpm.codes import TpmAlgId, TpmCc, TpmRh, TpmSt

ROOT: Final = Path(__file__).parent.parent
_PASSWORD: Final = bytes.fromhex("00000009 40000009 0000 00 0000")
_INDEX: Final = 0x0150_0001
_INDEX_PUBLIC: Final = bytes.fromhex("000e 01500001 000b 02060006 0000 0020")
_MANY: Final = 300  # commands in a round


def by_owner(code: TpmCc, handles: bytes, parameters: bytes) -> bytes:
    """A command with the owner's empty password."""
    body = TpmRh.OWNER.to_bytes(4, "big") + handles + _PASSWORD + parameters
    size = 10 + len(body)
    return struct.pack(">HII", TpmSt.SESSIONS, size, code) + body


_NAMED: Final = _INDEX.to_bytes(4, "big")
PREPARED: Final = (  # an index of 32 bytes that was written
    by_owner(TpmCc.NV_DEFINE_SPACE, b"", bytes(2) + _INDEX_PUBLIC),
    by_owner(TpmCc.NV_WRITE, _NAMED, b"\0\x20" + bytes(32) + bytes(2)),
)
COMMANDS: Final = {
    "PCR_Extend": client.pcr_extend(16, {TpmAlgId.SHA256: bytes(32)}),
    "PCR_Read": client.pcr_read({TpmAlgId.SHA256: tuple(range(8))}),
    "GetRandom": client.get_random(32),
    "NV_Read": by_owner(TpmCc.NV_READ, _NAMED, b"\0\x20" + bytes(2)),
}
LIMIT: Final = 0.6  # of swtpm's speed, at least
_KEPT: Final = "0x81000001"
_SIGNING_KEY: Final = (
    *("-C", "o", "-G", "rsa2048:rsassa-sha256:null"),
    *("-a", "restricted|sign|fixedtpm|fixedparent|sensitivedataorigin|userwithauth"),
)


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
        for each in (port, peer):
            with connected(each) as connection:
                for command in PREPARED:
                    exchange(connection, command, 1)
        for name, command in COMMANDS.items():
            row_of_command(name, command, port, peer, rounds)
        rows_of_programs(port, peer, rounds)


def row_of_command(
    name: str, command: bytes, port: int, peer: int, rounds: int
) -> None:
    """Commands a second on one open connection, turn by turn."""
    with connected(port) as mine, connected(peer) as other:
        times = alternating(
            lambda: exchange(mine, command, _MANY),
            lambda: exchange(other, command, _MANY),
            3 * rounds,
        )
    speed, against = (_MANY / each for each in times)
    peers = f"swtpm {against:.0f}/s, at least {LIMIT}"
    print(f"{'tpm: ' + name:<46} {speed:>8.0f}/s  {peers:<34} {speed / against:>6.2f}")


def rows_of_programs(port: int, peer: int, rounds: int) -> None:
    """Whole runs of tpm2_pcrread and tpm2_quote: a dozen commands each."""
    if shutil.which("tpm2_quote") is None:
        print("tpm2_quote is missing (Debian package tpm2-tools)")
        return
    with tempfile.TemporaryDirectory() as folder:
        keys = [f"{folder}/{each}" for each in (port, peer)]
        for each, key in zip((port, peer), keys, strict=True):
            tool(each, "tpm2_createprimary", *_SIGNING_KEY, "-c", key)
            tool(each, "tpm2_evictcontrol", "-C", "o", "-c", key, _KEPT)
            tool(each, "tpm2_flushcontext", "-t")
        row_of_program("tpm2_pcrread", (), (port, peer), rounds)
        asked = ("-l", "sha256:0,1,2,3,4,5,6,7", "-q", "c0ffee", "-c", _KEPT)
        row_of_program("tpm2_quote", asked, (port, peer), rounds)


def row_of_program(
    name: str, words: tuple[str, ...], ports: tuple[int, int], rounds: int
) -> None:
    """Our time as a part of the same on swtpm."""
    port, peer = ports
    times = alternating(
        lambda: tool(port, name, *words), lambda: tool(peer, name, *words), 3 * rounds
    )
    mine, against = (each * 1e3 for each in times)
    peers = f"swtpm {against:.2f} ms, at most 1.1"
    figure = f"tpm: a whole {name}"
    print(f"{figure:<46} {mine:>7.2f} ms  {peers:<34} {mine / against:>6.2f}")


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


def exchange(connection: socket.socket, command: bytes, count: int) -> None:
    """A command again and again, each time after the response to the one before."""
    for _ in range(count):
        connection.sendall(command)
        answer = connection.recv(4096)
        if answer[6:10] != bytes(4):
            raise SystemExit(f"a command was refused: {answer.hex()}")


def tool(port: int, program: str, *words: str) -> None:
    """One run of a program of tpm2-tools, over the data port."""
    tcti = f"swtpm:host=127.0.0.1,port={port}"
    subprocess.run(
        [program, *words],
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
    port = two_free_ports()
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


def two_free_ports() -> int:
    """The first of two ports in a row that nobody has."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port: int = probe.getsockname()[1]
            try:
                socket.create_server(("127.0.0.1", port + 1)).close()
            except (OSError, OverflowError):
                continue
            return port


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
