"""The TPM itself, in this process: new ones, and primary keys, against their limits.

A run prints; it never judges. `--short` takes fewer rounds.
"""

from __future__ import annotations

import argparse
import struct
import time
import tracemalloc
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Final

from pefstack.hw.entropy import Clock, Entropy
from pefstack.hw.journal import Journal
from pefstack.hw.tpm import client
from pefstack.hw.tpm.codes import TpmCc, TpmRh, TpmSt
from pefstack.hw.tpm.engine import Tpm

_PASSWORD: Final = bytes.fromhex("00000009 40000009 0000 00 0000")
# a storage key, as the TCG's template for RSA-2048 has it, without a policy
_TEMPLATE: Final = (
    bytes.fromhex("0001 000b 00030472 0000 0006 0080 0043 0010 0800 00000000 0100")
    + bytes(256)  # unique
)
_FIRST_TRANSIENT: Final = 0x8000_0000


def main() -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="fewer rounds")
    rounds = 7 if parser.parse_args().short else 25
    print(f"{'figure':<46} {'median':>10}  {'against':<34} {'ratio':>6}")
    new_tpm(20 * rounds)
    primary_keys(rounds)


def row(figure: str, seconds: float, limit: float) -> None:
    """One line: the figure, its limit, and the ratio."""
    against = f"limit {limit * 1e3:g} ms"
    ratio = seconds / limit
    print(f"{figure:<46} {seconds * 1e3:>7.2f} ms  {against:<34} {ratio:>6.2f}")


def new_tpm(rounds: int) -> None:
    """A TPM that was never on, without keys: its time and its memory."""
    made_tpm("warm")
    row("tpm: a new one", median(timed(made_tpm) for _ in range(rounds)), 1e-3)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    kept = [made_tpm(f"tpm {number}") for number in range(100)]
    size = (tracemalloc.get_traced_memory()[0] - before) / len(kept) / 1024
    tracemalloc.stop()
    print(f"{'tpm: memory of a new one':<46} {size:>7.1f} KiB", end="")
    print(f" {'limit 100 KiB':<34} {size / 100:>6.2f}")


def made_tpm(seed: str = "new") -> Tpm:
    """A TPM without power."""
    return Tpm(Entropy(seed, "tpm"), Clock(), Journal())


def primary_keys(rounds: int) -> None:
    """CreatePrimary of RSA-2048 on one new TPM after the other, and again on each."""
    first: list[float] = []
    again: list[float] = []
    for number in range(rounds):
        tpm = made_tpm(f"primary {number}")
        tpm.power_on()
        answered(tpm, client.startup())
        first.append(timed(partial(created, tpm)))
        again.append(timed(partial(created, tpm)))
    row("tpm: CreatePrimary RSA-2048, first", median(first), 0.3)
    row("tpm: CreatePrimary RSA-2048, again", median(again), 2e-3)


def created(tpm: Tpm) -> None:
    """Make the owner's storage key, and free its slot."""
    sensitive = bytes.fromhex("0004 0000 0000")
    body = sensitive + struct.pack(">H", len(_TEMPLATE)) + _TEMPLATE + bytes(6)
    answered(tpm, command(TpmCc.CREATE_PRIMARY, _PASSWORD + body))
    handle = _FIRST_TRANSIENT.to_bytes(4, "big")
    flush = struct.pack(">HII", TpmSt.NO_SESSIONS, 14, TpmCc.FLUSH_CONTEXT)
    answered(tpm, flush + handle)


def command(code: TpmCc, body: bytes) -> bytes:
    """A command of the owner."""
    size = 14 + len(body)
    return struct.pack(">HIII", TpmSt.SESSIONS, size, code, TpmRh.OWNER) + body


def answered(tpm: Tpm, raw: bytes) -> None:
    """Execute it; it must not be refused."""
    response = tpm.execute(raw)
    if response[6:10] != bytes(4):
        raise SystemExit(f"a command was refused: {response.hex()}")


def timed(action: Callable[[], object]) -> float:
    """Seconds that one call takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
