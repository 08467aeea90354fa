"""Real files through the whole chain: Debian's skiboot.lid, a Debian kernel.

Expected values come from these files themselves, from xz-utils and from hashlib.
"""

from __future__ import annotations

import hashlib
import struct
import subprocess
from pathlib import Path
from typing import Final

import pytest

from interop import KERNEL, SKIBOOT, need, need_file
from pefstack import BootFailure, Machine, Refusal
from skiboot_kit import nvram, skiboot

REAL: Final = Path(__file__).parents[2] / "machines" / "real" / "p9-real.toml"
CONTENT: Final = "image.flash.partition.BOOTKERNEL.content.file"
HEADER: Final = 4096

pytestmark = pytest.mark.interop


@pytest.fixture(scope="module")
def switched_off() -> Machine:
    need_file(SKIBOOT, "of the Debian package qemu-system-data")
    kernel = need_file(KERNEL, "of Debian: make kernel")
    return Machine(REAL, settings=[f"{CONTENT}={kernel}"])


@pytest.fixture
def real(switched_off: Machine) -> Machine:
    return switched_off.fork()


def payload(machine: Machine) -> bytes:
    """What is signed in PAYLOAD, from its own header: three software keys."""
    data = machine.flash["PAYLOAD"].data
    (size,) = struct.unpack_from(">Q", data, 920 + 3 * 132 + 25)
    return data[HEADER : HEADER + size]


def extended(*values: bytes, algorithm: str = "sha256") -> bytes:
    """A PCR after values that are cut or zero-padded to it, from zero."""
    size = hashlib.new(algorithm).digest_size
    pcr = bytes(size)
    for value in values:
        pcr = hashlib.new(algorithm, pcr + value[:size].ljust(size, b"\0")).digest()
    return pcr


@pytest.mark.parametrize("bank", ["sha256", "sha1"])
def test_pcr4_is_made_of_the_real_files(real: Machine, bank: str) -> None:
    """Node id, PAYLOAD, separator, BOOTKERNEL, separator (boot-chain.md 3.4)."""
    real.run()
    separator = hashlib.new(bank, b"\xff" * 4).digest()
    skiboot_hash = hashlib.sha512(payload(real)).digest()
    kernel_hash = hashlib.sha512(KERNEL.read_bytes()).digest()
    values = (bytes(8), skiboot_hash, separator, kernel_hash, separator)
    assert real.pcr(4, bank) == extended(*values, algorithm=bank)


def test_payload_is_skiboot_behind_xz(real: Machine, tmp_path: Path) -> None:
    """xz-utils gets skiboot.lid back; one stream, LZMA2 alone, CRC32."""
    xz = need("xz", "xz-utils")
    compressed = tmp_path / "skiboot.lid.xz"
    compressed.write_bytes(payload(real))
    plain = subprocess.run([xz, "-dc", compressed], capture_output=True, check=True)
    assert plain.stdout == SKIBOOT.read_bytes()
    assert len(payload(real)) < len(plain.stdout) // 4
    robot = [xz, "--robot", "--list", "-vv", str(compressed)]
    text = subprocess.run(robot, capture_output=True, text=True, check=True).stdout
    (block,) = [row.split("\t") for row in text.splitlines() if row[:5] == "block"]
    assert "CRC32" in block
    assert block[-1].startswith("--lzma2=")


def test_a_changed_kernel_is_refused(real: Machine) -> None:
    """One bit far behind what any header covers."""
    real.flash["BOOTKERNEL"].flip(0x2000000)
    with pytest.raises(BootFailure) as caught:
        real.run()
    failure = caught.value
    assert (failure.stage, failure.refusal) == ("opal", Refusal.CONTAINER_REJECTED)
    assert failure.log == 0xFFFFFFFFFFFF8172


def test_real_skiboot_starts_the_same_kernel(real: Machine, tmp_path: Path) -> None:
    place = real.flash["NVRAM"]
    place.write(nvram(place.size, "log-level-driver=7", "bootargs=console=hvc0"))
    flash = bytes(real.board.flash.read(0, real.board.flash.size))
    assert real.run().stage is None
    with skiboot(flash, tmp_path) as judge:
        judge.wait_for(r"Kernel command line: console=hvc0")
        console = judge.console
    assert "FLASH: BOOTKERNEL partition is signed" in console
    assert "INIT: 64-bit LE kernel discovered" in console
    version = console[console.index("Linux version ") :].splitlines()[0]
    assert version.encode() in KERNEL.read_bytes()
    assert "opal:v" in console  # the kernel knows on what it runs
