"""The builder of partition tables, against a foreign image and a foreign program."""

from __future__ import annotations

import re
import struct
import subprocess
from pathlib import Path

import pytest

from interop import need
from pefstack.images import ecc, ffs_entry
from pefstack.images.errors import FormatError
from pefstack.images.ffs_build import build_table, partition

VECTORS = Path(__file__).parents[1] / "vectors" / "boot-chain" / "ffs"


def test_small_vector_is_built_again() -> None:
    read_only = ffs_entry.MISC_READ_ONLY
    kept = ffs_entry.MISC_PRESERVED
    table = build_table(
        0x20000,
        [
            partition("HBB", 0x2000, 0x5000, ecc=True, container=True, misc=read_only),
            partition("SBKT", 0x7000, 0x2000, ecc=True, container=True, misc=read_only),
            partition("PAYLOAD", 0x9000, 0x3000, container=True, misc=read_only),
            partition("BOOTKERNEL", 0xC000, 0x8000, container=True, misc=read_only),
            partition("SECBOOT", 0x14000, 0x3000, ecc=True, misc=kept),
            partition("NVRAM", 0x17000, 0x4000, misc=kept | 0x10),
        ],
    )
    raw = table.to_bytes()
    assert raw == (VECTORS / "small.pnor").read_bytes()[: len(raw)]


def test_built_table_describes_itself() -> None:
    table = build_table(
        0x4000000, [partition("HBB", 0x8000, 0x9000)], table_size=0x8000
    )
    itself = table.entries[0]
    assert (itself.name, itself.type, itself.flags, itself.id) == ("part", 3, 1, 1)
    assert (itself.base, itself.size, itself.actual) == (0, 8, 0x8000)
    assert (table.header.size, table.header.block_count) == (8, 0x4000)
    assert struct.unpack(">12I", table.to_bytes()[:48])[:7] == (
        *(0x50415254, 1, 8, 128, 2, 0x1000, 0x4000),
    )


@pytest.mark.parametrize(
    ("second", "field"),
    [
        (("TWO", 0x3000, 0x1000), "TWO"),  # inside the one before
        (("TWO", 0x0000, 0x1000), "TWO"),  # inside the table
        (("TWO", 0x1F000, 0x2000), "TWO"),  # past the end
        (("ONE", 0x8000, 0x1000), "ONE"),  # twice
    ],
)
def test_builder_refuses_a_bad_layout(second: tuple[str, int, int], field: str) -> None:
    with pytest.raises(FormatError) as caught:
        build_table(0x20000, [partition("ONE", 0x2000, 0x2000), partition(*second)])
    assert caught.value.field == field


@pytest.mark.parametrize(("offset", "size"), [(0x800, 0x1000), (0x1000, 0x800), (0, 0)])
def test_partitions_are_blocks(offset: int, size: int) -> None:
    with pytest.raises(FormatError) as caught:
        partition("HBB", offset, size)
    assert caught.value.field == "HBB"


@pytest.mark.interop
def test_pflash_reads_and_writes_what_we_build(tmp_path: Path) -> None:
    pflash = need("pflash", "opal-utils")
    table = build_table(
        0x40000,
        [
            partition("HBB", 0x2000, 0x9000, ecc=True, container=True, misc=0x40),
            partition("NVRAM", 0xC000, 0x4000, misc=0x90),
        ],
    )
    data = bytes(range(256)) * 128
    flash = table.to_bytes().ljust(0x2000, b"\xff") + ecc.encode(data)
    image = tmp_path / "flash"
    image.write_bytes(flash.ljust(0x40000, b"\xff"))
    run = [pflash, "-F", str(image)]
    listed = subprocess.run([*run, "-i"], capture_output=True, text=True, check=True)
    lines = re.findall(r"^ID=.*$", listed.stdout, re.MULTILINE)
    assert [line.split()[1:] for line in lines] == [
        ["part", "0x00000000..0x00001000", "(actual=0x00001000)", "[----------]"],
        ["HBB", "0x00002000..0x0000b000", "(actual=0x00009000)", "[EL--R-----]"],
        ["NVRAM", "0x0000c000..0x00010000", "(actual=0x00004000)", "[---P--F---]"],
    ]
    content = tmp_path / "HBB"
    subprocess.run([*run, "-P", "HBB", "-9", "-r", str(content)], check=True)
    assert content.read_bytes() == data
    content.write_bytes(data[::-1])
    size = ["-s", "0x4800"]  # raw bytes to write, though of the file it takes data
    run += ["-P", "HBB", "-9", "-f", "-p", str(content), *size]
    subprocess.run(run, check=True)
    read = ecc.decode(image.read_bytes()[0x2000 : 0x2000 + 0x4800])
    assert read == ecc.Decoded(data=data[::-1][:0x4000])
