"""Our flash in front of the real skiboot, in QEMU's powernv9 (real-guest.md)."""

from __future__ import annotations

import hashlib
import re
import struct
from pathlib import Path
from typing import Final

import pytest

from pefstack import Machine
from pefstack.images.fdt import Fdt
from skiboot_kit import HELLO, nvram, skiboot, speaking_kernel

LOUD: Final = ("log-level-driver=7", "bootargs=panic=-1 console=hvc0")
# partitions that skiboot looks for (core/flash.c), those with ECC
NAMES: Final = {"VERSION": False, "IMA_CATALOG": True, "CAPP": True}
KERNEL: Final = "image.flash.partition.BOOTKERNEL.content"

pytestmark = pytest.mark.interop


def machine_with_kernel(name: str, folder: Path) -> Machine:
    """A stock machine with a small kernel and a formatted NVRAM."""
    path = folder / "kernel"
    path.write_bytes(speaking_kernel())
    settings = [f"{KERNEL}.fill=0", f"{KERNEL}.file={path}"]
    machine = Machine(name, settings=settings)
    place = machine.flash["NVRAM"]
    place.write(nvram(place.size, *LOUD))
    return machine


def image_of(machine: Machine) -> bytes:
    return bytes(machine.board.flash.read(0, machine.board.flash.size))


def published(tree: bytes) -> dict[str, tuple[int, int]]:
    """The flash partitions that skiboot tells the kernel: label -> offset, size."""
    node = Fdt.from_bytes(tree).root
    for name in ("ibm,opal", "flash@0", "partitions"):
        child = node.child(name)
        assert child is not None, f"no {name} in the device tree"
        node = child
    found = {}
    for each in node.children:
        label = each.value("label").rstrip(b"\0").decode()
        found[label] = struct.unpack(">II", each.value("reg"))
    return found


@pytest.mark.parametrize(
    ("name", "mebibytes"), [("p9", 64), ("p9-128m", 128), ("p10-full", 64)]
)
def test_skiboot_finds_our_flash_and_starts_its_kernel(
    name: str, mebibytes: int, tmp_path: Path
) -> None:
    machine = machine_with_kernel(name, tmp_path)
    with skiboot(image_of(machine), tmp_path) as judge:
        judge.wait_for(re.escape(HELLO.decode().strip()))
        console, tree = judge.console, judge.device_tree()
    assert f"HIOMAP: Flash size is {mebibytes}MiB" in console
    assert "FLASH: Found system flash" in console
    assert "INIT: 64-bit LE kernel discovered" in console
    there = {each: ecc for each, ecc in NAMES.items() if each in machine.flash}
    for partition, has_ecc in {**there, "BOOTKERNEL": False}.items():
        has = "has" if has_ecc else "doesn't have"
        assert f"FLASH: {partition} partition {has} ECC" in console
        assert f"FLASH: {partition} partition is signed" in console
    places = {
        each: (machine.flash[each].offset, machine.flash[each].size)
        for each in (*there, "BOOTKERNEL")
    }
    assert published(tree) == {**places, "PNOR": (0, mebibytes << 20)}
    assert "INIT: Command line from NVRAM: panic=-1 console=hvc0" in console


def test_skiboot_reads_version_and_one_bit_of_capp_is_corrected(
    tmp_path: Path,
) -> None:
    """VERSION behind its header, in the form of real ones; ECC as skiboot's own."""
    machine = machine_with_kernel("p9-128m", tmp_path)
    machine.flash["CAPP"].flip(9 * 40 + 3, 5)
    with skiboot(image_of(machine), tmp_path) as judge:
        judge.wait_for(re.escape(HELLO.decode().strip()))
        console, tree = judge.console, judge.device_tree()
    versions = Fdt.from_bytes(tree).root.child("ibm,firmware-versions")
    assert versions is not None
    assert versions.value("version") == b"p9-v1\0"
    assert versions.value("skiboot") == b"v7.0\0"
    assert "ECC: correctable error" in console
    assert "FLASH: CAPP partition is signed" in console


def test_two_flipped_bits_are_too_many_for_skiboot_too(tmp_path: Path) -> None:
    machine = machine_with_kernel("p9-128m", tmp_path)
    for bit in (5, 6):
        machine.flash["CAPP"].flip(9 * 40 + 3, bit)
    with skiboot(image_of(machine), tmp_path) as judge:
        judge.wait_for(re.escape(HELLO.decode().strip()))
        console = judge.console
    assert "ECC: uncorrectable error" in console
    assert "FLASH: CAPP partition is signed" not in console


def test_skiboot_takes_the_kernel_that_we_measured(tmp_path: Path) -> None:
    """What lies in its memory is what our OPAL verified, byte for byte."""
    machine = machine_with_kernel("p9", tmp_path)
    with skiboot(image_of(machine), tmp_path) as judge:
        judge.wait_for(re.escape(HELLO.decode().strip()))
        kernel = speaking_kernel()
        loaded = judge.memory(0x20000000, 0x1000 + len(kernel))
    assert loaded[0x1000:] == kernel
    measured = [
        event.detail["digest"]
        for event in machine.run().journal
        if event.kind == "measure" and event.detail["what"] == "bootkernel"
    ]
    digest = hashlib.sha512(loaded[0x1000:]).hexdigest()
    assert measured[0] == digest[:64]


def test_skiboot_does_without_a_flash_whose_tables_are_broken(tmp_path: Path) -> None:
    """The judge can say no."""
    flash = bytearray(image_of(machine_with_kernel("p9", tmp_path)))
    flash[20] ^= 1  # the header's number of entries: its checksum does not fit
    with skiboot(bytes(flash), tmp_path) as judge:
        judge.wait_for("INIT: platform wait for kernel load failed")
        assert "Found system flash" not in judge.console
