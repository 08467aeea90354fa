"""The flat image is that of objcopy: made files, foreign ones, a real kernel."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elf_kit import ESM, FLAT, NOBITS, Load, Made, Part, kernel
from interop import KERNEL, need, need_file
from pefstack.images.elf import Elf
from pefstack.images.errors import FormatError
from pefstack.images.flat_image import flat_image, flat_size

BASE = 0xC000000000000000


def flat(made: Made) -> bytes:
    return flat_image(Elf.from_bytes(made.to_bytes()))


def refused(made: Made) -> str:
    with pytest.raises(FormatError) as caught:
        flat(made)
    return caught.value.field


@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_foreign_kernels(name: str) -> None:
    elf = Elf.from_bytes((ESM / "in" / f"vmlinux-{name}.elf").read_bytes())
    expected = (ESM / "in" / f"vmlinux-{name}.bin").read_bytes()
    assert flat_image(elf) == expected
    assert flat_size(elf) == len(expected)


def test_sections_gaps_and_what_is_left_out() -> None:
    assert flat(kernel()) == FLAT


def test_the_load_address_is_that_of_the_segment() -> None:
    made = kernel()
    made.loads[0].paddr = 0x10000
    made.loads[1].paddr = 0x10100
    assert flat(made) == b"text" * 8 + bytes(0xE0) + b"data" * 5


def test_physical_addresses_that_are_all_zero_are_not_believed() -> None:
    """By them both sections would lie in one place; objcopy takes the linked ones."""
    made = kernel()
    made.loads[1].paddr = 0
    assert flat(made) == FLAT


def test_a_section_outside_of_all_segments_is_where_it_is_linked_to() -> None:
    made = kernel(loads=[])
    assert flat(made) == FLAT


def test_sections_in_another_order() -> None:
    made = kernel()
    made.parts.reverse()
    assert flat(made) == FLAT


def test_refusals() -> None:
    assert refused(kernel(parts=[], loads=[])) == "sections"
    assert (
        refused(kernel(parts=[Part(".bss", 0, b"", BASE, NOBITS)], loads=[]))
        == "sections"
    )
    made = kernel()
    made.parts[2].addr = BASE + 0x10
    assert refused(kernel(parts=made.parts, loads=[])) == "load address"
    far = kernel(loads=[])
    far.parts[2].addr = 1 << 32
    assert refused(far) == "flat image size"
    moved = kernel()
    moved.loads[1].offset -= 0x10
    assert refused(moved) == "sh_offset"
    cut = kernel()
    cut.loads[1].filesz -= 1
    assert refused(cut) == "sh_offset"


def test_the_limit_is_exact() -> None:
    elf = Elf.from_bytes(kernel().to_bytes())
    assert flat_image(elf, limit=len(FLAT)) == FLAT
    for function in (flat_image, flat_size):
        with pytest.raises(
            FormatError, match=f"found 0x{len(FLAT):x}, expected at most"
        ):
            function(elf, limit=len(FLAT) - 1)


def made_up(seed: int, *, base: int = BASE) -> tuple[Made, bytes]:
    """Some segments with some sections each; and the image, painted byte by byte."""
    draw = random.Random(seed)
    made, image, vaddr, offset = Made(), dict[int, int](), base, 0x1000
    for number in range(draw.randint(1, 3)):
        paddr = vaddr - base + (0x10000 * number if draw.random() < 0.3 else 0)
        start, at = vaddr, vaddr
        for letter in "abcde"[: draw.randint(1, 5)]:
            data = draw.randbytes(draw.choice([0, 1, 7, 64, 300]))
            flags = draw.choice([2, 2, 3, 6])
            place = offset + at - start
            made.parts.append(Part(f".{letter}{number}", place, data, at, 1, flags))
            image |= {at - start + paddr + n: byte for n, byte in enumerate(data)}
            at += len(data) + draw.choice([0, 0, 4, 100])
        size = at - start
        bss = Part(f".bss{number}", offset + size, b"", at, NOBITS, size=40)
        made.parts.append(bss)
        made.loads.append(Load(offset, start, paddr, size, size + 40))
        vaddr = start + -(-(size + 40) // 0x1000) * 0x1000
        offset += -(-size // 0x1000) * 0x1000 + 0x1000
    made.parts.append(Part(".note", offset, b"never loaded", flags=0))
    if not image:
        return made_up(seed + 1000)
    low = min(image)
    whole = bytes(image.get(at, 0) for at in range(low, max(image) + 1))
    return made, whole


@given(st.integers(0, 1000))
def test_made_up_kernels(seed: int) -> None:
    made, image = made_up(seed)
    assert flat(made) == image


def objcopy(source: Path, target: Path) -> bytes:
    program = need("powerpc64le-linux-gnu-objcopy", "binutils-powerpc64le-linux-gnu")
    subprocess.run(
        [program, "-O", "binary", "-S", source, target], check=True, timeout=60
    )
    return target.read_bytes()


@pytest.mark.interop
@pytest.mark.parametrize("seed", range(12))
def test_objcopy_makes_the_same_of_made_up_kernels(seed: int, tmp_path: Path) -> None:
    made, image = made_up(seed)
    source = tmp_path / "vmlinux"
    source.write_bytes(made.to_bytes())
    assert objcopy(source, tmp_path / "flat") == image == flat(made)


@pytest.mark.interop
@pytest.mark.parametrize("change", ["", "paddr-zero", "no-loads", "ppc-be"])
def test_objcopy_makes_the_same_of_odd_files(change: str, tmp_path: Path) -> None:
    made = kernel()
    if change == "paddr-zero":
        made.loads[1].paddr = 0
    elif change == "no-loads":
        made.loads.clear()
    elif change == "ppc-be":
        made.order, made.header = ">", {"flags": 1}
    source = tmp_path / "vmlinux"
    source.write_bytes(made.to_bytes())
    assert objcopy(source, tmp_path / "flat") == flat(made)


@pytest.mark.interop
def test_objcopy_makes_the_same_of_a_real_kernel(tmp_path: Path) -> None:
    source = need_file(KERNEL, "by machines/real/fetch-kernel.sh")
    image = flat_image(Elf.from_bytes(source.read_bytes()))
    same = objcopy(source, tmp_path / "flat") == image  # no diff of 40 MiB in a report
    assert same
    assert len(image) > 0x1000000
