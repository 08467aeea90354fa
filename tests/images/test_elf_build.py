"""ELF files and zImages that are made here: read back, and by readelf and objcopy."""

from __future__ import annotations

import gzip
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interop import need
from pefstack.images.elf import Elf
from pefstack.images.elf_build import NewSection, build_elf
from pefstack.images.elf_header import ET_DYN
from pefstack.images.errors import FormatError
from pefstack.images.flat_image import flat_image
from pefstack.images.zimage import Zimage
from pefstack.images.zimage_build import build_zimage

BASE = 0xC000000000000000
ALIGNMENTS = st.sampled_from([1, 4, 8, 0x1000])
DATA = st.binary(min_size=1, max_size=5000)


def placed(parts: list[tuple[bytes, int]]) -> bytes:
    """The contents with the gaps that their alignments leave."""
    flat = b""
    for data, alignment in parts:
        flat = flat.ljust(-(-len(flat) // alignment) * alignment, b"\0") + data
    return flat


@given(st.lists(st.tuples(DATA, ALIGNMENTS), min_size=1, max_size=4), st.integers(0, 9))
def test_contents_come_back_and_make_the_flat_image(
    parts: list[tuple[bytes, int]], zeros: int
) -> None:
    sections = [
        NewSection(name=f".s{number}", data=data, alignment=alignment)
        for number, (data, alignment) in enumerate(parts)
    ]
    bss = [NewSection(name=".bss", zeros=zeros)] if zeros else []
    elf = Elf.from_bytes(build_elf([*sections, *bss], address=BASE))
    for section, (data, alignment) in zip(sections, parts, strict=True):
        found = elf.named(section.name)
        assert found is not None
        assert bytes(elf.content_of(found)) == data
        assert found.sh_addr % alignment == 0
    assert flat_image(elf) == placed(parts)
    (load,) = elf.segments
    assert (load.p_vaddr, load.p_paddr, load.p_filesz) == (BASE, 0, len(placed(parts)))
    assert load.p_memsz >= load.p_filesz + zeros


@given(st.binary(max_size=3000), st.binary(max_size=3000), st.binary(max_size=40))
def test_parts_of_a_zimage(initrd: bytes, blob: bytes, line: bytes) -> None:
    line = line.replace(b"\0", b"")
    vmlinux = build_elf([NewSection(name=".text", data=b"code" * 9)], address=BASE)
    zimage = Zimage.from_bytes(
        build_zimage(b"wrap", vmlinux, initrd=initrd, esm_blob=blob, cmdline=line)
    )
    assert bytes(zimage.initrd or b"") == initrd
    assert bytes(zimage.esm_blob or b"") == blob
    assert (zimage.cmdline or b"") == line
    assert (zimage.compression, zimage.elf.header.e_type) == ("gzip", ET_DYN)
    assert flat_image(zimage.vmlinux()) == b"code" * 9
    assert gzip.decompress(zimage.kernel) == vmlinux


def test_a_kernel_that_is_no_elf_file_is_refused() -> None:
    with pytest.raises(FormatError):
        build_zimage(b"wrap", b"flat image")


def test_the_same_parts_give_the_same_bytes() -> None:
    vmlinux = build_elf([NewSection(name=".text", data=b"code")], address=BASE)
    assert build_zimage(b"w", vmlinux) == build_zimage(b"w", vmlinux)
    kernel = Zimage.from_bytes(build_zimage(b"w", vmlinux)).kernel
    assert kernel[4:8] == bytes(4)  # the time in the gzip header


def run(*words: Any) -> str:
    return subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, check=True
    ).stdout


@pytest.mark.interop
def test_readelf_and_objcopy_agree(tmp_path: Path) -> None:
    readelf = need("powerpc64le-linux-gnu-readelf", "binutils-powerpc64le-linux-gnu")
    objcopy = need("powerpc64le-linux-gnu-objcopy", "binutils-powerpc64le-linux-gnu")
    text = NewSection(name=".text", data=b"text" * 100)
    data = NewSection(name=".data", data=b"data", alignment=0x1000)
    bss = NewSection(name=".bss", zeros=64)
    raw = build_elf([text, data, bss], address=BASE)
    (tmp_path / "vmlinux").write_bytes(raw)
    shown = run(readelf, "-W", "-a", tmp_path / "vmlinux")
    assert "Warning" not in shown
    assert re.search(r"LOAD +0x001000 0xc000000000000000 0x0000000000000000", shown)
    assert re.search(r"\.bss +NOBITS", shown)
    run(objcopy, "-O", "binary", "-S", tmp_path / "vmlinux", tmp_path / "flat")
    assert (tmp_path / "flat").read_bytes() == flat_image(Elf.from_bytes(raw))
    (tmp_path / "zImage").write_bytes(build_zimage(b"wrap", raw, esm_blob=b"blob"))
    part = tmp_path / "part"
    dump = f".kernel:esm_blob={part}"
    run(
        objcopy,
        "-O",
        "binary",
        "--dump-section",
        dump,
        tmp_path / "zImage",
        "/dev/null",
    )
    assert part.read_bytes() == b"blob"
