"""The guest's device tree: what the ultravisor reads in it, and what libfdt does."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from guest_kit import Placed, vector
from interop import need
from pefstack.hw.guest_spec import GuestSpec
from pefstack.images.fdt import Fdt, libfdt_find
from pefstack.images.rtas import RTAS_SIZE

KERNEL = vector("in/vmlinux-a.elf")
ZIMAGE = vector("zimage/zImage-le-gz.elf")


def guest(firmware: str = "slof", **settings: int) -> Placed:
    spec = GuestSpec(firmware=firmware, command_line="svm=on  x", **settings)
    return Placed(KERNEL, b"initramfs", spec, rng_seed=bytes(range(32)))


@pytest.mark.parametrize(("firmware", "size"), [("slof", 8), ("vof", 4)])
def test_cells_of_the_initramfs(firmware: str, size: int) -> None:
    chosen = guest(firmware).chosen
    assert len(chosen.value("linux,initrd-start")) == size
    assert len(chosen.value("linux,initrd-end")) == size


def test_memory_begins_at_0_and_has_two_cells() -> None:
    tree = guest(memory=0x6000_0000).tree
    assert tree.node("/memory@0").cells("reg", 8) == (0, 0x6000_0000)
    assert libfdt_find(tree, "/memory") == tree.node("/memory@0")
    assert tree.root.cells("#address-cells") == tree.root.cells("#size-cells") == (2,)


def test_bootargs_have_one_nul_at_the_end() -> None:
    assert guest().chosen.value("bootargs") == b"svm=on  x\0"
    empty = Placed(KERNEL, spec=GuestSpec(command_line=""))
    assert empty.chosen.value("bootargs") == b"\0"


@pytest.mark.parametrize(("firmware", "size"), [("slof", b"\0\0\0\x14"), ("vof", None)])
def test_rtas_says_its_size_under_slof(firmware: str, size: bytes | None) -> None:
    node = guest(firmware).tree.node("/rtas")
    assert node.get("slof,rtas-size") == size
    assert node.u32("rtas-size") == RTAS_SIZE
    assert node.u32("linux,rtas-base") == node.u32("linux,rtas-entry")
    assert node.u32("ibm,os-term") == 0x201F


def test_every_processor_has_a_node() -> None:
    tree = guest(cpus=17).tree
    cpus = tree.node("/cpus").children
    assert [each.name for each in cpus] == [f"cpu@{n:x}" for n in range(17)]
    assert [each.u32("reg") for each in cpus] == list(range(17))
    assert {each.string("device_type") for each in cpus} == {"cpu"}
    assert tree.boot_cpuid == 0


def test_1024_processors_fit_into_what_the_ultravisor_takes() -> None:
    assert len(guest(cpus=1024).raw_tree) <= 1 << 20


def test_the_seed_is_there_only_when_given() -> None:
    assert guest().chosen.value("rng-seed") == bytes(range(32))
    assert Placed(KERNEL).chosen.get("rng-seed") is None


def test_a_guest_without_initramfs_has_no_addresses_of_one() -> None:
    placed = Placed(KERNEL)
    assert placed.chosen.get("linux,initrd-start") is None
    assert placed.tree.reserve_map == ((placed.at.rtas_base, 0x10000),)


# --- read by others


def fdtget(path: Path, *words: str) -> str:
    program = need("fdtget", "device-tree-compiler")
    command = [program, *words[:-2], str(path), *words[-2:]]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    return done.stdout.strip()


@pytest.mark.interop
def test_libfdt_reads_it(tmp_path: Path) -> None:
    placed, path = Placed(ZIMAGE, spec=GuestSpec(cpus=3)), tmp_path / "tree.dtb"
    path.write_bytes(placed.raw_tree)
    assert fdtget(path, "/chosen", "bootargs") == "svm=on"
    assert fdtget(path, "-t", "x", "/memory", "reg") == "0 0 0 20000000"
    start, end = 0x1420000, 0x1420683
    assert fdtget(path, "-t", "x", "/chosen", "linux,esm-blob-start") == f"{start:x}"
    assert fdtget(path, "-t", "x", "/chosen", "linux,esm-blob-end") == f"{end:x}"
    assert fdtget(path, "-t", "x", "/chosen", "linux,initrd-start") == "0 1410000"
    assert fdtget(path, "-t", "u", "/rtas", "slof,rtas-size") == "20"
    assert fdtget(path, "-t", "u", "/cpus/cpu@2", "reg") == "2"
    assert fdtget(path, "/", "compatible") == "qemu,pseries"


@pytest.mark.interop
@pytest.mark.parametrize("firmware", ["slof", "vof"])
def test_dtc_gives_the_same_tree_back(firmware: str) -> None:
    dtc = need("dtc", "device-tree-compiler")
    raw = guest(firmware, cpus=2).raw_tree
    texts = ["-I", "dtb", "-O", "dts"], ["-I", "dts", "-O", "dtb"]
    for words in texts:
        command = [dtc, "-q", *words]
        done = subprocess.run(command, input=raw, capture_output=True, check=True)
        raw = done.stdout
    assert Fdt.from_bytes(raw) == guest(firmware, cpus=2).tree
