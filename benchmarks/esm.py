"""ESM blobs and operands against their limits: cold commands, and parsing in process.

A run prints; it never judges. `--short` takes fewer rounds.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Final

from pefstack.images.esm_blob import EsmBlob
from pefstack.images.esm_operand import EsmOperand

ROOT: Final = Path(__file__).resolve().parent.parent
VECTORS: Final = ROOT / "tests" / "vectors" / "esm"
_MANY: Final = 200


def main() -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="fewer rounds")
    rounds = 5 if parser.parse_args().short else 15
    print(f"{'figure':<46} {'median':>10}  {'against':<34} {'ratio':>6}")
    parses(rounds)
    with tempfile.TemporaryDirectory() as folder:
        cold_starts(Path(folder), rounds)


def parses(rounds: int) -> None:
    """A blob with two machines and two attachments; an operand with four slots."""
    blob = (VECTORS / "blob-b.dtb").read_bytes()
    operand = (VECTORS / "v2" / "good.bin").read_bytes()
    for name, parse, raw in (
        ("ESM blob (v1): parse", EsmBlob.from_bytes, blob),
        ("ESM operand (v2): parse", EsmOperand.from_bytes, operand),
    ):
        seconds = median(parsing(parse, raw) for _ in range(rounds))
        row(name, seconds, 1e-3)


def parsing(parse: Callable[[bytes], object], raw: bytes) -> float:
    """Seconds of one call, of many in a row."""
    start = time.perf_counter()
    for _ in range(_MANY):
        parse(raw)
    return (time.perf_counter() - start) / _MANY


def cold_starts(folder: Path, rounds: int) -> None:
    """Whole processes, start of Python included, but compiled already."""
    settings = {"PYTHONPATH": str(ROOT / "src"), "PYTHONPYCACHEPREFIX": str(folder)}
    environment = os.environ | settings
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    blob = str(folder / "blob.dtb")
    commands = {"make": ["make", "-b", blob, "-y", "blob-b.yml"]}
    commands["display"] = ["display", "-b", blob]
    for name, words in commands.items():
        run(words, environment)
        cold = median(run(words, environment) for _ in range(rounds))
        row(f"pef esm {name}, cold", cold, 0.2)


def run(words: list[str], environment: dict[str, str]) -> float:
    """Seconds of one `pef esm`; it must end well."""
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "pefstack.tools.cli", "esm", *words],
        check=True,
        cwd=VECTORS,  # paths in the YAML files count from there
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    return time.perf_counter() - start


def row(figure: str, seconds: float, limit: float) -> None:
    """One line: the figure, its limit, and the ratio."""
    against = f"limit {limit * 1e3:.0f} ms"
    ratio = seconds / limit
    print(f"{figure:<46} {seconds * 1e3:>7.2f} ms  {against:<34} {ratio:>6.2f}")


if __name__ == "__main__":
    main()
