"""Boots against their floor, and cold starts: a table of figures and ratios.

The floor of a boot is what no correct boot can leave out: hashing, ECC, and one P-521
check for each signature, all timed in this run on the same bytes. A run prints; it
never judges. `--short` takes fewer rounds.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from pefstack import Machine
from pefstack.images import ecc
from pefstack.images.container import HEADER_SIZE, HW_KEYS_OFFSET, ContainerHeader
from pefstack.images.hash_page_table import PAGE_SIZE
from pefstack.images.p521 import is_signed
from pefstack.images.xip import XipImage

ROOT: Final = Path(__file__).parent.parent


def main() -> None:
    """Print every figure of this issue's speed list."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="fewer rounds")
    rounds = 5 if parser.parse_args().short else 15
    print(f"{'figure':<46} {'median':>10}  {'against':<34} {'ratio':>6}")
    for name in ("firmware", "small", "p10", "p9", "p10-full"):
        boot_against_floor(name, rounds)
    fork_of_a_booted_machine()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PEFSTACK_CACHE"] = folder
        keep_bytecode(Path(folder))
        build_of_the_demo(Path(folder))
        cold_starts(rounds)
        import_of_boot(rounds)


def row(figure: str, seconds: float, against: str, limit: float) -> None:
    """One line: the figure, what it is held against, and the ratio."""
    ratio = seconds / limit
    print(f"{figure:<46} {seconds * 1e3:>7.2f} ms  {against:<34} {ratio:>6.2f}")


def timed(action: Callable[[], object], rounds: int) -> float:
    """The median of several rounds, in seconds."""
    times = []
    for _ in range(rounds):
        gc.collect()
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return median(times)


def boot_against_floor(name: str, rounds: int) -> None:
    """Boot in process against hashing + ECC + signature checks of the same bytes."""
    machine = Machine(name)
    machine.fork().run()
    forks = iter([machine.fork() for _ in range(rounds)])
    boot = timed(lambda: next(forks).run(), rounds)
    hashing, coding, checks, one = floor_of(machine, rounds)
    floor = hashing + coding + checks * one
    print(
        f"{name}: hashing {hashing * 1e3:.2f} ms, ECC {coding * 1e3:.2f} ms,", end=" "
    )
    print(f"{checks} signature checks of {one * 1e3:.3f} ms each")
    row(f"{name}: boot in process", boot, f"floor {floor * 1e3:.2f} ms", floor)


@dataclass(frozen=True)
class Work:
    """What no correct boot can leave out: bytes to hash and to decode, and checks."""

    hashed: list[bytes]
    chains: list[list[bytes]]
    raws: list[bytes]
    checks: int

    def hash(self) -> None:
        """All that is hashed, once."""
        for each in self.hashed:
            hashlib.sha512(each).digest()
        for pages in self.chains:
            chain_of(pages)

    def decode(self) -> None:
        """All that passes through the ECC, once."""
        for each in self.raws:
            ecc.decode(each)


def floor_of(machine: Machine, rounds: int) -> tuple[float, float, int, float]:
    """Seconds of hashing and of ECC, the number of checks, seconds of one check."""
    work = work_of(machine)
    hashing, coding = timed(work.hash, rounds), timed(work.decode, rounds)
    header = machine.flash["HBB"].header
    return hashing, coding, work.checks, one_check(header, rounds)


def work_of(machine: Machine) -> Work:
    """What a boot verifies stands in the journal of one; each is counted as often."""
    booted = machine.fork().run()
    codes = [str(e.detail["code"]) for e in booted.journal if e.kind == "verify"]
    hashed, checks = seeprom_work(machine, codes)
    raws: list[bytes] = []
    for name in codes:
        if name in machine.flash:
            checks += 3 + len(machine.flash[name].header.sw_keys)
            hashed += payload(machine, name)
        if name in machine.flash and machine.flash[name].has_ecc:
            paged = f"{name} pages" in codes
            raws.append(raw_container(machine, name, paged=paged))
    paged_names = [name.removesuffix(" pages") for name in codes if " pages" in name]
    chains = [hash_pages(machine, name) for name in paged_names]
    return Work(hashed, chains, raws, checks)


def seeprom_work(machine: Machine, codes: list[str]) -> tuple[list[bytes], int]:
    """What the SBE hashes and the signatures it checks: one key of each kind."""
    sections = XipImage.from_bytes(machine.board.seeprom.content)
    work: list[bytes] = []
    if "SBE_FW" in codes:
        code = bytes(sections.section(".sb_verification"))
        firmware = bytes(sections.section(".base")) + code
        work = [firmware] * codes.count("SBE_FW") + [code]
        work.append(bytes(sections.section(".hbbl")))
    return work, 2 * (codes.count("SBE_FW") + (1 if work else 0))


def payload(machine: Machine, name: str) -> list[bytes]:
    """The protected payload of a partition."""
    size = machine.flash[name].header.software.payload_size
    return [machine.flash[name].data[HEADER_SIZE : HEADER_SIZE + size]]


def raw_container(machine: Machine, name: str, *, paged: bool) -> bytes:
    """What has to pass through the ECC: the container, with pages that follow it."""
    partition = machine.flash[name]
    size = HEADER_SIZE + partition.header.software.payload_size
    if paged:
        size = max(size, partition.header.hardware.container_size)
    return partition.raw[: ecc.raw_size(-(-size // 8) * 8)]


def hash_pages(machine: Machine, name: str) -> list[bytes]:
    """The pages of a partition, one by one."""
    partition = machine.flash[name]
    start = HEADER_SIZE + partition.header.software.payload_size
    end = partition.header.hardware.container_size
    data = partition.data[start:end]
    return [data[at : at + PAGE_SIZE] for at in range(0, len(data), PAGE_SIZE)]


def chain_of(pages: list[bytes]) -> bytes:
    """The hash chain over pages: each entry over the one before and the page."""
    entry = bytes(32)
    for page in pages:
        digest = hashlib.sha512(entry)
        digest.update(page)
        entry = digest.digest()[:32]
    return entry


def one_check(header: ContainerHeader, rounds: int) -> float:
    """Seconds of one P-521 check."""
    raw = header.to_bytes()
    key = raw[HW_KEYS_OFFSET : HW_KEYS_OFFSET + 132]
    message, signature = header.prefix.to_bytes(), header.hw_signatures[0]
    if not is_signed(key, signature, message):
        raise SystemExit("the signature of the benchmark is not valid")
    many = 20
    checks = timed(
        lambda: [is_signed(key, signature, message) for _ in range(many)], rounds
    )
    return checks / many


def fork_of_a_booted_machine() -> None:
    """Fork of the booted demonstration machine against 1 ms."""
    machine = Machine("demo").run()
    fork = timed(lambda: [machine.fork() for _ in range(100)], 5) / 100
    row("demo: fork of the booted machine", fork, "limit 1 ms", 1e-3)


def keep_bytecode(folder: Path) -> None:
    """As at any second start, also where the environment forbids Python to keep it."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")


def build_of_the_demo(folder: Path) -> None:
    """A build into an empty folder, in a process of its own, against 2 s."""
    command = ["-m", "pefstack.tools.cli", "build", "demo", "-o", str(folder / "out")]
    row("demo: build, cold", run(command), "limit 2 s", 2.0)


def cold_starts(rounds: int) -> None:
    """`python tools/boot.py`, everything built, against its limits and QEMU."""
    for name, limit in (("demo", 0.5), ("small", 0.25)):
        command = [str(ROOT / "tools" / "boot.py"), name]
        run(command)  # builds
        cold = median(run(command) for _ in range(rounds))
        row(f"{name}: python tools/boot.py, cold", cold, f"limit {limit} s", limit)
        if name == "demo":
            peak = peak_memory(name)
            print(f"{'demo: peak memory of that boot':<46} {peak:>7.1f} MiB", end="")
            print(f" {'limit 200 MiB':<34} {peak / 200:>6.2f}")
            beside_qemu(cold)


def beside_qemu(cold: float) -> None:
    """The real skiboot under QEMU to its last line before a kernel is needed."""
    qemu = shutil.which("qemu-system-ppc64")
    if qemu is None:
        print("qemu-system-ppc64 is missing (Debian package qemu-system-ppc): no peer")
        return
    peer = skiboot_in_qemu(qemu)
    if peer:
        row("demo: python tools/boot.py, cold", cold, f"QEMU {peer * 1e3:.0f} ms", peer)


def skiboot_in_qemu(qemu: str) -> float:
    """Seconds until skiboot of QEMU's powernv9 waits for its kernel."""
    command = [qemu, "-M", "powernv9", "-nographic", "-nodefaults", "-serial", "stdio"]
    start = time.perf_counter()
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            for line in process.stdout or ():
                if b"Waiting for kernel" in line:
                    return time.perf_counter() - start
                if time.perf_counter() - start > 60:
                    break
        finally:
            process.kill()
    print("skiboot under QEMU did not get to its kernel within 60 s: no peer")
    return 0.0


def import_of_boot(rounds: int) -> None:
    """A process that imports tools/boot.py and ends, less an empty process."""
    script = "import pefstack.tools.boot"
    run(["-c", f"{script}, pefstack.tools.cli.verb_boot"])
    bare = median(run(["-c", "pass"]) for _ in range(rounds))
    loaded = median(run(["-c", script]) for _ in range(rounds))
    verb = median(
        run(["-c", f"{script}, pefstack.tools.cli.verb_boot"]) for _ in range(rounds)
    )
    row("import of tools/boot.py", loaded - bare, "limit 120 ms", 0.12)
    row("import of everything that a boot needs", verb - bare, "limit 120 ms", 0.12)


_PEAK: Final = """
from pathlib import Path
from pefstack.tools.cli.app import main
main(["boot", "{name}", "--quiet"])
status = Path("/proc/self/status").read_text()
print(status.partition("VmHWM:")[2].split()[0])
"""


def peak_memory(name: str) -> float:
    """MiB of resident memory at most, of a process that boots a machine."""
    done = subprocess.run(
        [sys.executable, "-c", _PEAK.format(name=name)],
        check=True,
        env=_environment(),
        capture_output=True,
        text=True,
    )
    return int(done.stdout) / 1024


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT / "src")}


def run(words: list[str]) -> float:
    """Seconds of one Python process with these arguments; it must end well."""
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, *words],
        check=True,
        env=_environment(),
        stdout=subprocess.DEVNULL,
    )
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
