"""From a VM to a secure VM against what cannot be left out: a table of ratios.

Both sides of a ratio are the fewest seconds of several turns, one beside the other: a
machine that others share does not favour either. A run prints; it never judges.
`--short` takes fewer rounds.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import hashlib
import os
import pstats
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

from boot import ROOT, Work, keep_bytecode, row, run, work_of
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from pefstack import Machine
from pefstack.firmware.virtualization import Virtualization
from pefstack.images.container import HW_KEYS_OFFSET
from pefstack.images.elf import Elf
from pefstack.images.flat_image import flat_image
from pefstack.images.p521 import is_signed

LIMIT: Final = 1.5  # of the ratios to a floor
MACHINE: Final = "svm"
LARGE: Final = ("image.guest.kernel.fill=0x6400000", "machine.guest.memory=0x10000000")
COLD: Final = 0.8
RSA_BITS: Final = 2048
_OAEP: Final = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)


def main() -> None:
    """Print every figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="fewer rounds")
    rounds = 5 if parser.parse_args().short else 15
    with TemporaryDirectory() as folder:
        os.environ["PEFSTACK_CACHE"] = folder
        keep_bytecode(Path(folder))
        print(f"{'figure':<46} {'fewest':>10}  {'against':<34} {'ratio':>6}")
        large_guest(rounds)
        whole_boot(rounds)
        cold_start(rounds)


def large_guest(rounds: int) -> None:
    """UV_ESM of a guest of 100 MiB, every page handed over, against SHA-512 of it."""
    machine = Machine(MACHINE, settings=LARGE).run(until="hypervisor")
    guest = parts_of(machine)

    def digests() -> None:
        for part in guest:
            hashlib.sha512(part).digest()

    seconds, floor = beside(machine, digests, rounds)
    row("svm: UV_ESM of a guest of 100 MiB", seconds, f"SHA-512, limit {LIMIT}", floor)


def whole_boot(rounds: int) -> None:
    """The small machine to SVM, in process, against its floor."""
    machine = Machine(MACHINE)
    secure(machine.fork())
    floor = Floor(machine)
    seconds, against = beside(machine, floor.work, rounds)
    counts = f"{floor.checks} signatures, {floor.decrypts} + {floor.encrypts} RSA"
    print(f"svm: floor has hashing, ECC, {counts} operations")
    row("svm: boot to SVM in process", seconds, f"floor, limit {LIMIT}", against)


def cold_start(rounds: int) -> None:
    """A new process, with the machine built and its TPM provisioned."""
    for name in ("demo", MACHINE):
        command = [str(ROOT / "tools" / "boot.py"), name]
        run(command)  # builds
        cold = median(run(command) for _ in range(rounds))
        row(f"{name}: python tools/boot.py to SVM, cold", cold, f"limit {COLD} s", COLD)


class Floor:
    """What a boot to SVM cannot leave out, done with the same calls, nothing around.

    How many RSA operations there are is counted in a boot of this machine.
    """

    def __init__(self, machine: Machine) -> None:
        self.work_of_firmware: Work = work_of(machine)
        self.guest = parts_of(machine)
        calls = calls_of(machine)
        self.checks = calls["verify"]
        self.decrypts, self.encrypts = calls["decrypt"], calls["public_op"]
        header = machine.flash["HBB"].header
        raw = header.to_bytes()
        self._signed = (
            raw[HW_KEYS_OFFSET : HW_KEYS_OFFSET + 132],
            header.hw_signatures[0],
            header.prefix.to_bytes(),
        )
        self._key = rsa.generate_private_key(65537, RSA_BITS)
        self._public = self._key.public_key()
        self._block = self._public.encrypt(bytes(32), _OAEP)

    def work(self) -> None:
        """All of it, once."""
        self.work_of_firmware.hash()
        self.work_of_firmware.decode()
        for part in self.guest:
            hashlib.sha512(part).digest()
        for _ in range(self.checks):
            is_signed(*self._signed)
        for _ in range(self.encrypts):
            self._public.encrypt(bytes(32), _OAEP)
        for _ in range(self.decrypts):
            self._key.decrypt(self._block, _OAEP)


def calls_of(machine: Machine) -> dict[str, int]:
    """How often one boot verifies with P-521, decrypts with RSA, encrypts with it."""
    profile = cProfile.Profile()
    fork = machine.fork()
    profile.runcall(fork.run)
    wanted = {"verify": "ECPublicKey", "decrypt": "RSAPrivateKey", "public_op": ""}
    counts = dict.fromkeys(wanted, 0)
    stats: dict[tuple[str, int, str], tuple[int, ...]] = vars(pstats.Stats(profile))[
        "stats"
    ]
    for (_, _, name), numbers in stats.items():
        for verb, kind in wanted.items():
            if name == verb or (kind and f"'{verb}'" in name and kind in name):
                counts[verb] += numbers[1]
    if not all(counts.values()):
        raise SystemExit(f"the profile does not name what is counted: {counts}")
    return counts


def parts_of(machine: Machine) -> list[bytes]:
    """What UV_ESM hashes of a guest: its flat kernel and its initramfs."""
    images = machine.board.guest_images
    if images is None:
        raise SystemExit("the machine of the benchmark has no guest")
    flat = flat_image(Elf.from_bytes(images.kernel))
    return [bytes(flat), bytes(images.initrd)]


def secure(machine: Machine) -> None:
    """Run it to its end, which must be a secure VM."""
    running = machine.run().board.running
    if not isinstance(running, Virtualization) or not running.vm_secure:
        raise SystemExit("the VM of the benchmark did not become secure")


def beside(
    machine: Machine, floor: Callable[[], object], rounds: int
) -> tuple[float, float]:
    """The fewest seconds of a machine to SVM and of its floor, taken in turns."""
    times = [(_seconds_to_svm(machine.fork()), _seconds(floor)) for _ in range(rounds)]
    return min(each for each, _ in times), min(each for _, each in times)


def _seconds_to_svm(fork: Machine) -> float:
    return _seconds(lambda: secure(fork))


def _seconds(action: Callable[[], object]) -> float:
    gc.collect()
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
