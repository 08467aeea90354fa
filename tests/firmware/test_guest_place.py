"""A guest in its memory: no overlap, nothing outside, the bytes that are hashed."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elf_kit import FLAT, Load, kernel
from guest_kit import Placed, vector
from interop import KERNEL, need_file
from pefstack.firmware.guest.place import RMO_TOP, place
from pefstack.hw.guest_spec import GuestImages, GuestSpec
from pefstack.hw.mapping import SettingError
from pefstack.hw.memory import Memory
from pefstack.images.elf import Elf
from pefstack.images.errors import FormatError
from pefstack.images.esm_digests import RTAS_DIGEST
from pefstack.images.flat_image import flat_image
from pefstack.images.rtas import RTAS_TEXT
from pefstack.images.zimage import Zimage

PAGE = 0x10000
MIB = 1 << 20
LOAD_AT = 0x40_0000
KERNELS = ("in/vmlinux-{}.elf", "in/vmlinux-{}.bin")


def test_the_rtas_text_is_the_one_that_is_known() -> None:
    assert hashlib.sha512(RTAS_TEXT).digest() == RTAS_DIGEST


@pytest.mark.parametrize("name", "abc")
@pytest.mark.parametrize("form", KERNELS)
def test_foreign_kernels(name: str, form: str) -> None:
    guest = Placed(vector(form.format(name)), b"an initramfs")
    flat = vector(f"in/vmlinux-{name}.bin")
    assert (guest.at.kbase, guest.at.kernel_size) == (LOAD_AT, len(flat))
    assert guest.memory.read(LOAD_AT, len(flat)) == flat
    assert guest.lies_at(guest.bounds("linux,initrd")) == b"an initramfs"
    assert guest.rtas == RTAS_TEXT


def test_the_initramfs_lies_above_the_bss() -> None:
    made = kernel()
    made.loads[1].memsz = 0x2_0000
    guest = Placed(made.to_bytes(), b"i")
    regions = dict(guest.at.regions)
    assert regions["kernel"] == range(LOAD_AT, LOAD_AT + 0x2_0140)
    assert guest.at.initrd == range(LOAD_AT + 0x3_0000, LOAD_AT + 0x3_0001)
    assert guest.memory.read(LOAD_AT, len(FLAT)) == FLAT


@pytest.mark.parametrize(
    ("name", "has_blob", "kbase"),
    [
        ("zImage-le-gz", True, 0x140_0000),
        ("zImage-le-xz-noblob", False, 0x140_0000),
        ("zImage-be-none", False, 0x450_0000),
    ],
)
def test_foreign_zimages(name: str, has_blob: bool, kbase: int) -> None:
    """Their kernel is a 64-bit one, their wrappers lie where they are linked to."""
    raw = vector(f"zimage/{name}.elf")
    guest = Placed(raw, b"the loader's initramfs, which loses")
    flat = vector("in/vmlinux-a.bin")
    assert guest.at.kbase == kbase
    assert guest.memory.read(kbase, len(flat)) == flat
    initrd = guest.lies_at(guest.bounds("linux,initrd"))
    assert initrd == bytes(Zimage.from_bytes(raw).initrd or b"")
    assert len(initrd) == 0x400
    assert (guest.at.esm_blob is not None) == has_blob
    if has_blob:
        assert guest.chosen.value("linux,esm-blob-end").hex() == "01420683"
        assert guest.lies_at(guest.bounds("linux,esm-blob")) == vector("blob-a.dtb")
    else:
        assert guest.chosen.get("linux,esm-blob-start") is None


def test_the_wrapper_itself_lies_where_qemu_loads_it() -> None:
    raw = vector("zimage/zImage-le-gz.elf")
    guest = Placed(raw)
    load = next(each for each in Elf.from_bytes(raw).segments if each.p_type == 1)
    wrapper = raw[load.p_offset :][: load.p_filesz]
    assert guest.memory.read(LOAD_AT, len(wrapper)) == wrapper


def test_a_wrapper_without_initramfs_uses_the_loaders() -> None:
    raw = bytearray(vector("zimage/zImage-le-gz.elf"))
    at = raw.index(b".kernel:initrd\0")
    raw[at : at + 14] = b".kernel:initrx"
    guest = Placed(bytes(raw), b"the loader's")
    assert guest.lies_at(guest.bounds("linux,initrd")) == b"the loader's"


def test_blob_addresses_of_a_little_endian_wrapper() -> None:
    raw = vector("zimage/zImage-le-gz.elf")
    good, swapped = Placed(raw), Placed(raw, swapped_blob=True)
    for end in ("start", "end"):
        name = f"linux,esm-blob-{end}"
        assert swapped.chosen.value(name) == good.chosen.value(name)[::-1]
    assert swapped.at == good.at


def test_a_builtin_command_line_wins() -> None:
    raw = bytearray(vector("zimage/zImage-le-gz.elf"))
    elf = Elf.from_bytes(bytes(raw))
    section = elf.named("__builtin_cmdline")
    assert section is not None
    raw[section.sh_offset : section.sh_offset + 11] = b"svm=on quiet"[:11]
    guest = Placed(bytes(raw), spec=GuestSpec(command_line="svm=off"))
    assert guest.at.bootargs == b"svm=on quie"
    assert guest.chosen.value("bootargs") == b"svm=on quie\0"


@pytest.mark.parametrize("name", "abc")
def test_digests_of_ibms_tool_hold_for_what_lies_in_memory(name: str) -> None:
    """The tool's own digests, of the same files; its initramfs without the archive."""
    known = json.loads(vector("expected.json"))["blobs"][name]["digests"]
    line = {"a": "init=/bin/sh svm=1", "c": ""}.get(name)
    line = "  root=/dev/vda1   svm=on\tconsole=hvc0 " if line is None else line
    files = {"a": "in/initrd-a.cpio", "b": "in/initrd-b.cpio.xz"}
    spec = GuestSpec(command_line=line)
    initrd = vector(files.get(name, "in/initrd-c.cpio.gz"))
    guest = Placed(vector(f"in/vmlinux-{name}.elf"), initrd, spec)
    lies = guest.lies_at(guest.bounds("linux,initrd"))
    found = guest.digests(known["kernel-size"], lies)
    assert {k: v.hex() for k, v in found.items()} == {k: known[k] for k in found}


# --- what does not fit


class Nothing:
    """Memory that nothing may be written to."""

    def write(self, gpa: int, data: bytes | memoryview) -> None:
        pytest.fail(f"wrote {len(data)} bytes at 0x{gpa:x}")


def refused(kernel: bytes, initrd: bytes = b"", memory: int = 64 * MIB) -> str:
    """Which part did not fit."""
    images = GuestImages(kernel=kernel, initrd=initrd)
    with pytest.raises(SettingError) as caught:
        place(Nothing(), GuestSpec(memory=memory), images)
    assert "expected 0x" in str(caught.value)
    return caught.value.key


def test_too_small_a_memory_names_the_part() -> None:
    room = 64 * MIB - PAGE - LOAD_AT  # the last page is that of RTAS
    assert refused(bytes(room + 1)) == "kernel"
    assert refused(bytes(room), b"i") == "initrd"
    assert refused(b"k", bytes(room - PAGE + 1)) == "initrd"
    assert refused(b"k", bytes(room - PAGE)) == "device tree"
    assert refused(b"k", bytes(room - 2 * PAGE)) == "heap"
    Placed(b"k", bytes(room - 3 * PAGE), GuestSpec(memory=64 * MIB))


def test_nothing_lies_above_the_first_768_mib() -> None:
    made = kernel()
    made.loads[1].memsz = RMO_TOP - LOAD_AT - 0x140 - PAGE
    full = GuestSpec(memory=0x8000_0000)
    images = GuestImages(kernel=made.to_bytes())
    with pytest.raises(SettingError, match=r"device tree.*first 768 MiB"):
        place(Nothing(), full, images)
    made.loads[1].memsz -= 2 * PAGE
    assert Placed(made.to_bytes(), spec=full).at.rtas_base == RMO_TOP - PAGE


def test_a_segment_that_is_larger_than_any_memory() -> None:
    made = kernel()
    made.loads.append(Load(0, 0xC000000000000000, 0, 0, 1 << 62))
    assert refused(made.to_bytes(), memory=0x8000_0000) == "kernel"


@pytest.mark.parametrize(
    "raw", [b"", b"\x7fELF", b"\x7fELF" + bytes(200), kernel().to_bytes()[:-1]]
)
def test_a_kernel_that_cannot_be_read(raw: bytes) -> None:
    with pytest.raises(FormatError):
        place(Nothing(), GuestSpec(), GuestImages(kernel=raw))


# --- any guest


@given(
    size=st.integers(1, 3 * MIB),
    bss=st.integers(0, 70 * MIB),
    initrd=st.integers(0, 3 * MIB),
    pages=st.integers(64 * MIB // PAGE, 80 * MIB // PAGE),
    cpus=st.integers(1, 1024),
    line=st.text(st.characters(blacklist_characters="\0", codec="utf-8")),
    firmware=st.sampled_from(["slof", "vof"]),
    wrapped=st.booleans(),
)
def test_any_guest_lies_in_its_memory_without_overlap(
    size: int,
    bss: int,
    initrd: int,
    pages: int,
    cpus: int,
    line: str,
    firmware: str,
    wrapped: bool,
) -> None:
    spec = GuestSpec(
        memory=pages * PAGE, cpus=cpus, command_line=line, firmware=firmware
    )
    raw = vector("zimage/zImage-le-gz.elf") if wrapped else _kernel(size, bss)
    try:
        guest = Placed(raw, b"\x77" * initrd, spec)
    except SettingError:
        assert size + bss + initrd > 50 * MIB
        return
    ranges = sorted((r for _, r in guest.at.regions), key=lambda r: r.start)
    assert all(one.stop <= other.start for one, other in pairwise(ranges))
    assert ranges[0].start >= LOAD_AT and ranges[-1].stop <= spec.memory
    apart = {name: r for name, r in guest.at.regions if name != "kernel"}
    assert all(r.start % PAGE == 0 for r in apart.values())
    assert guest.memory.read(guest.at.fdt.start, 4) == b"\xd0\x0d\xfe\xed"
    assert len(guest.raw_tree) == len(guest.at.fdt)
    assert guest.chosen.value("bootargs") == line.encode() + b"\0"
    reserved = [*guest.tree.reserve_map]
    assert reserved[-1] == (guest.at.rtas_base, PAGE)
    if guest.at.initrd:
        assert guest.bounds("linux,initrd") == guest.at.initrd
        whole = -(-len(guest.at.initrd) // PAGE) * PAGE
        assert reserved == [(guest.at.initrd.start, whole), reserved[-1]]
        if not wrapped:
            assert guest.lies_at(guest.at.initrd) == b"\x77" * initrd


def _kernel(size: int, bss: int) -> bytes:
    made = kernel()
    made.parts[0].data = b"\x55" * 0x20
    made.loads[1].memsz = max(size + bss, 0x514)
    return made.to_bytes()


@given(st.integers(0, 0x400), st.integers(1, 255))
def test_any_broken_zimage_is_refused_or_placed(at: int, flip: int) -> None:
    raw = bytearray(vector("zimage/zImage-le-gz.elf"))
    raw[at] ^= flip
    memory = Memory(64 * MIB)
    with suppress(FormatError, SettingError):
        place(memory, GuestSpec(memory=64 * MIB), GuestImages(kernel=bytes(raw)))


# --- a real one


@pytest.mark.interop
def test_the_real_kernel_lies_there_as_objcopy_makes_it() -> None:
    raw = need_file(KERNEL, "of Debian: make kernel").read_bytes()
    guest = Placed(raw, b"initramfs" * 1000)
    flat = flat_image(Elf.from_bytes(raw))
    assert guest.at.kernel_size == len(flat)
    assert guest.memory.read(guest.at.kbase, len(flat)) == flat
    assert guest.at.initrd is not None
    assert guest.at.initrd.start >= guest.at.kbase + len(flat)
