"""A Debian kernel with a busybox initramfs becomes a secure VM, or gets nothing.

What is measured lies in secure memory: it came page by page through the hypervisor. The
digests are held against GNU binutils and coreutils, the zImage is linked by binutils.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

import pytest

from interop import INITRAMFS, KERNEL, need, need_file
from loaded_guest_kit import (
    BYTES,
    LINE,
    PROFILES,
    WORDS,
    LoadedGuest,
    changed_page,
    real_machine,
)
from pefstack.firmware.ultravisor.codes import PAGE_SHIFT, PAGE_SIZE
from pefstack.hw.entropy import Entropy
from pefstack.hw.guest_spec import GuestImages
from pefstack.images.cpio import read_archive, write_archive
from pefstack.images.initramfs import find_blob
from pefstack.tools.cli.app import main
from pefstack.tools.esm.guest_digests import guest_digests

pytestmark = pytest.mark.interop

BINUTILS: Final = "binutils-powerpc64le-linux-gnu"
SCRIPT: Final = """
ENTRY(_start)
SECTIONS {
  .text : { *(.text) }
  . = ALIGN(4096); .kernel:vmlinux.strip : { *(.kernel:vmlinux.strip) }
  . = ALIGN(4096); .kernel:initrd : { *(.kernel:initrd) }
  . = ALIGN(4096); .kernel:esm_blob : { *(.kernel:esm_blob) }
}
"""  # the order of arch/powerpc/boot/zImage.lds.S


@pytest.fixture(scope="module", params=list(PROFILES))
def loaded_guest(request: pytest.FixtureRequest) -> LoadedGuest:
    machine = real_machine(PROFILES[request.param])
    return LoadedGuest.loaded(machine, request.param[:2])


@pytest.fixture
def guest(loaded_guest: LoadedGuest) -> LoadedGuest:
    return loaded_guest.fork()


def test_the_real_guest_reads_its_passphrase(guest: LoadedGuest) -> None:
    guest.run().check_secure()


@pytest.mark.parametrize(("part", "at"), BYTES)
def test_one_changed_byte_refuses(guest: LoadedGuest, part: str, at: str) -> None:
    """The hypervisor writes into the VM's memory before the VM calls."""
    guest.flip(guest.byte(part, at))
    guest.run().check_refused(part)


@pytest.mark.parametrize(("part", "at"), BYTES)
def test_another_page_at_page_in_refuses(
    guest: LoadedGuest, part: str, at: str
) -> None:
    """Files and VM are as they should be; the page that is handed over is not."""
    address = guest.byte(part, at)
    guest.hands_over(address >> PAGE_SHIFT, changed_page(guest, address))
    guest.run().check_refused(part)


def test_the_same_page_from_elsewhere_is_good(guest: LoadedGuest) -> None:
    """It is the content that counts: the witness for the tests with another page."""
    number = guest.byte("kernel", "middle") >> PAGE_SHIFT
    guest.hands_over(number, guest.normal(number << PAGE_SHIFT, PAGE_SIZE))
    guest.run().check_secure()


@pytest.mark.parametrize("after", ["page-in", "digests"])
def test_a_change_after_page_in_changes_nothing(guest: LoadedGuest, after: str) -> None:
    """Of the normal pages, before the digests are taken and behind that."""
    addresses = [guest.byte(part, "middle") for part in WORDS]
    original = [guest.normal(address, 1) for address in addresses]
    guest.run_until(lambda state: state.step == 18 and "rtas" in state.measured)
    if after == "digests":
        guest.run_until(lambda state: state.step == 19)
    assert (guest.state.step == 19) == ("kernel" in guest.state.measured)
    for address in addresses:
        guest.flip(address)
    guest.run().check_secure()
    assert guest.bootargs == LINE + b"\0"  # in the tree that was written back
    there = [guest.secure(address, 1) for address in addresses]
    assert there[:2] + there[3:] == original[:2] + original[3:]


def test_digests_are_those_of_binutils_and_coreutils(
    guest: LoadedGuest, tmp_path: Path
) -> None:
    flat, line = tmp_path / "flat", tmp_path / "line"
    tool("objcopy", "-O", "binary", "-S", str(KERNEL), str(flat))
    line.write_bytes(LINE)
    guest.run_until(lambda state: state.step == 19)
    measured = {name: each.hex() for name, each in guest.state.measured.items()}
    rtas = tmp_path / "rtas"
    rtas.write_bytes(bytes.fromhex("7c641b783c6000006063f000440000224e800020"))
    files = {"kernel": flat, "initrd": INITRAMFS, "bootargs": line, "rtas": rtas}
    assert measured == {name: sha512sum(path) for name, path in files.items()}
    assert len(guest.part("kernel")) == flat.stat().st_size


def test_digests_are_those_of_pef_esm(guest: LoadedGuest) -> None:
    """What `pef esm digest` and `make` put into a blob."""
    guest.run_until(lambda state: state.step == 19)
    kernel, initrd = KERNEL.read_bytes(), INITRAMFS.read_bytes()
    digests = guest_digests(kernel, initrd, LINE.decode())
    measured = guest.state.measured
    assert digests.kernel_size == len(guest.part("kernel"))
    assert {name: getattr(digests, name) for name in measured} == measured


def test_a_zimage_that_binutils_linked(guest: LoadedGuest, tmp_path: Path) -> None:
    """The same operand in `.kernel:esm_blob`, the initramfs in `.kernel:initrd`."""
    images = GuestImages(kernel=linked_zimage(guest, tmp_path))
    machine = guest.machine.power_cycle()
    wrapped = LoadedGuest.loaded(machine, guest.format, images)
    assert wrapped.place.kbase >= 0x140_0000
    wrapped.fork().run().check_secure()
    for part in WORDS:
        other = wrapped.fork()
        other.flip(other.byte(part, "last"))
        other.run().check_refused(part)


def test_the_initramfs_is_as_our_writer_writes_it() -> None:
    """GNU cpio made it: nothing in it depends on where or when."""
    raw = need_file(
        INITRAMFS, "of Debian: machines/real/fetch-initramfs.sh"
    ).read_bytes()
    entries, size = read_archive(raw)
    assert write_archive(entries) == raw
    assert {(each.mtime, each.uid, each.gid) for each in entries} == {(0, 0, 0)}
    assert size <= len(raw) < size + 512


@pytest.mark.parametrize("loaded_guest", ["v2"], indirect=True)
def test_pef_esm_says_the_same_of_the_image(guest: LoadedGuest, tmp_path: Path) -> None:
    """The seed is the one that every build of this machine has."""
    image, seed = tmp_path / "initrd", tmp_path / "seed"
    images = guest.machine.board.guest_images
    assert images is not None
    image.write_bytes(images.initrd)
    seed.write_bytes(Entropy("pefstack", "guest seed").random_bytes(32))
    words = ["esm", "check", str(image), "--seed-file", str(seed), "--kernel"]
    for line, code in ((LINE.decode(), 0), (LINE.decode().upper(), 1)):
        assert main([*words, str(KERNEL), "--append", line]) == code


@pytest.mark.parametrize("loaded_guest", ["v2"], indirect=True)
def test_linux_unpacks_the_initramfs_with_the_operand(
    guest: LoadedGuest, tmp_path: Path
) -> None:
    """The same two files in QEMU: its Linux runs /init, with the archive in front."""
    qemu = need("qemu-system-ppc64", "qemu-system-ppc")
    initrd, console = tmp_path / "initrd", tmp_path / "console"
    images = guest.machine.board.guest_images
    assert images is not None
    assert find_blob(images.initrd).archive_size
    initrd.write_bytes(images.initrd)
    words = [qemu, "-M", "pseries,x-vof=on", "-accel", "tcg", "-cpu", "power9"]
    words += ["-m", "512M", "-nographic", "-nodefaults", "-vga", "none"]
    words += ["-serial", f"file:{console}", "-append", LINE.decode()]
    words += ["-kernel", str(KERNEL), "-initrd", str(initrd)]
    subprocess.run(words, check=True, timeout=120, stdin=subprocess.DEVNULL)
    said = console.read_text("utf-8", "replace")
    assert "Run /init as init process" in said
    assert "reboot: Power down" in said  # by the script in it, and by busybox


def linked_zimage(guest: LoadedGuest, folder: Path) -> bytes:
    """As arch/powerpc/boot/wrapper does it: strip, gzip -n, add sections, link."""
    images = guest.machine.board.guest_images
    assert images is not None
    place = find_blob(images.initrd)
    blob = bytes(images.initrd[place.offset : place.offset + place.room])
    vmlinux = folder / "vmlinux"
    tool("objcopy", "-S", str(KERNEL), str(vmlinux))
    subprocess.run([need("gzip", "gzip"), "-n", "-6", vmlinux], check=True)
    (folder / "esm_blob").write_bytes(blob)
    (folder / "stub.s").write_text(".text\n.globl _start\n_start: b _start\n")
    tool("as", "-mlittle", str(folder / "stub.s"), "-o", str(folder / "stub.o"))
    sections = {
        "vmlinux.strip": folder / "vmlinux.gz",
        "initrd": INITRAMFS,
        "esm_blob": folder / "esm_blob",
    }
    words: list[str] = []
    for name, path in sections.items():
        flags = f".kernel:{name}=contents,alloc,load,readonly,data"
        words += [f"--add-section=.kernel:{name}={path}", "--set-section-flags", flags]
    tool("objcopy", *words, str(folder / "stub.o"), str(folder / "parts.o"))
    (folder / "zImage.lds").write_text(SCRIPT)
    options = ["-m", "elf64lppc", "-pie", "--no-dynamic-linker", "-z", "norelro"]
    options += ["-T", str(folder / "zImage.lds"), "-o", str(folder / "zImage")]
    tool("ld", *options, str(folder / "parts.o"))
    return (folder / "zImage").read_bytes()


def tool(name: str, *words: str) -> None:
    """One of binutils for little-endian POWER."""
    program = need(f"powerpc64le-linux-gnu-{name}", BINUTILS)
    subprocess.run([program, *words], check=True, capture_output=True)


def sha512sum(path: Path) -> str:
    words = [need("sha512sum", "coreutils"), str(path)]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    return done.stdout.split()[0]
