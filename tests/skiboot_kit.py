"""The real skiboot as a judge: a flash image in QEMU's powernv9, its console, memory.

QEMU starts a skiboot of its own, not the one in PAYLOAD; it reads our flash through the
BMC as on a real machine.
"""

from __future__ import annotations

import json
import os
import re
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TextIO

from interop import need

DEADLINE: Final = 120.0  # seconds; a quiet machine needs 2, with a Debian kernel 7
STARTED: Final = r"INIT: Starting kernel at 0x(\w+), fdt at 0x(\w+) (\d+) bytes"
HELLO: Final = b"a kernel out of BOOTKERNEL speaks\n"


class Judge:
    """One powernv9 machine that is running."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self._process = process
        self._folder = folder

    @property
    def console(self) -> str:
        path = self._folder / "console"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Until the console has it; fails when QEMU ends or the time is over."""
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            running = self._process.poll() is None
            if found := re.search(pattern, self.console):
                return found
            if not running:
                break
            time.sleep(0.05)
        raise AssertionError(f"no {pattern!r} in:\n{self.console}")

    def memory(self, address: int, size: int) -> bytes:
        """Physical memory of the machine."""
        target = self._folder / "memory"
        where = {"val": address, "size": size, "filename": str(target)}
        with opened(self._folder) as folder, socket.socket(socket.AF_UNIX) as line:
            line.settimeout(DEADLINE)
            # the path of a socket is short; that of a test's folder need not be
            line.connect(f"/proc/self/fd/{folder}/qmp")
            with line.makefile("rw", encoding="utf-8") as talk:
                talk.readline()  # its greeting
                _ask(talk, "qmp_capabilities", {})
                _ask(talk, "pmemsave", where)
        return target.read_bytes()

    def device_tree(self) -> bytes:
        """The flattened device tree that skiboot gave to the kernel."""
        started = self.wait_for(STARTED)
        return self.memory(int(started[2], 16), int(started[3]))


@contextmanager
def opened(folder: Path) -> Iterator[int]:
    """The folder's file descriptor."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _ask(talk: TextIO, command: str, arguments: dict[str, object]) -> None:
    line = json.dumps({"execute": command, "arguments": arguments})
    talk.write(line + "\n")
    talk.flush()
    while "return" not in (answer := json.loads(talk.readline())):
        assert "error" not in answer, answer


@contextmanager
def skiboot(flash: bytes, folder: Path) -> Iterator[Judge]:
    """Switch on a powernv9 with this flash; it is gone afterwards, whatever happens."""
    qemu = need("qemu-system-ppc64", "qemu-system-ppc")
    (folder / "pnor").write_bytes(flash)
    machine = ["-M", "powernv9", "-accel", "tcg", "-m", "2G", "-nodefaults"]
    bmc = ["-device", "ipmi-bmc-sim,id=bmc0", "-device"]
    bmc += ["isa-ipmi-bt,bmc=bmc0,irq=10", "-drive", "file=pnor,if=mtd,format=raw"]
    lines = ["-nographic", "-monitor", "none", "-serial", "file:console", "-no-reboot"]
    lines += ["-qmp", "unix:qmp,server=on,wait=off"]
    process = subprocess.Popen(
        [qemu, *machine, *bmc, *lines],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        yield Judge(process, folder)
    finally:
        process.kill()
        process.wait()


def nvram(size: int, *settings: str) -> bytes:
    """A formatted NVRAM with settings for skiboot (PAPR: header, then key=value)."""
    body = b"".join(each.encode() + b"\0" for each in settings)
    private = _nvram_part(0x51, b"ibm,skiboot", 0x1000, body)
    common = _nvram_part(0x70, b"common", 0x10000)
    return private + common + _nvram_part(0x7F, b"w" * 12, size - 0x11000)


def _nvram_part(signature: int, name: bytes, size: int, body: bytes = b"") -> bytes:
    """Signature, checksum with end-around carry, length in 16 bytes, name."""
    header = struct.pack(">BBH12s", signature, 0, size >> 4, name)
    total = 0
    for byte in header:
        total += byte
        total = (total & 0xFF) + (total >> 8)
    return header[:1] + bytes([total]) + header[2:] + body.ljust(size - 16, b"\0")


def speaking_kernel() -> bytes:
    """A little-endian ELF of some instructions: it writes HELLO to OPAL's console.

    skiboot enters it big-endian, OPAL's base in r8 and its entry in r9.
    """
    code = struct.pack(
        ">14I",
        0x429F0005,  # bcl 20,31,$+4
        0x7FE802A6,  # mflr r31: the address of this instruction
        0x7D1D4378,  # mr r29,r8
        0x7D3E4B78,  # mr r30,r9
        0x7FA2EB78,  # mr r2,r29
        0x7FC903A6,  # mtctr r30
        0x38000001,  # li r0,1: OPAL_CONSOLE_WRITE
        0x38600000,  # li r3,0: the first console
        0x389F0034,  # addi r4,r31,52: where its length stands
        0x38BF003C,  # addi r5,r31,60: the text
        0x4E800421,  # bctrl
        0x60000000,  # nop
        0x48000000,  # b .
        0x60000000,  # nop
    )
    code += struct.pack(">Q", len(HELLO)) + HELLO
    entry = 0x10000
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    # the table of sections would begin where the file ends: skiboot adds it up
    size = 64 + 56 + len(code)
    header = struct.pack(
        "<HHIQQQIHHHHHH", 2, 21, 1, entry, 64, size, 2, 64, 56, 1, 64, 0, 0
    )
    load = struct.pack(
        "<IIQQQQQQ", 1, 5, 120, entry, entry, len(code), len(code), 0x1000
    )
    return ident + header + load + code
