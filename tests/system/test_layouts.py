"""The layouts of the stock machines, held against the tables they come from."""

from __future__ import annotations

from typing import Final

import pytest

from pefstack import Machine

# open-power/pnor p10Layouts/defaultPnorLayout_64.xml: name, raw size, then E ECC,
# C container, P preserved, R read-only, F reprovision, K clear on ECC error and V
# volatile; one behind the other from 0x8000 on
POWER10: Final = """
    HBEL 24000 EPFK
    EECACHE 2c0000 PF
    GUARD 5000 PF
    NVRAM 90000 PF
    SECBOOT 24000 EP
    HBB 100000 ECR
    HBD 200000 ECR
    HBD_RW 200000 E
    SBE bc000 ECR
    HCODE 120000 ECR
    HBRT 800000 ECR
    PAYLOAD 100000 CR
    BOOTKERNEL fff000 CR
    OCC 120000 ECR
    BMC_INV 9000 F
    HBBL b000 ECR
    ATTR_TMP 8000 F
    VERSION 2000 CR
    ATTR_PERM 8000 EFK
    IMA_CATALOG 40000 ECR
    RINGOVD 20000 -
    WOFDATA 300000 ECR
    HB_VOLATILE 5000 EFKV
    SBKT 4000 ER
    HDAT 8000 ECR
    UVISOR 100000 CR
    OCMBFW 123000 ECR
    HBI fff000 ECR
    DEVTREE 100000 -
    HCODE_LID 120000 ECR
"""
# bits of the user area's data integrity, version and misc words (boot-chain.md 2.1)
MISC: Final = {"P": 0x80, "R": 0x40, "F": 0x10, "V": 0x08, "K": 0x04}
WINDOW: Final = 64 << 20  # as far as QEMU's skiboot sees


def entries(machine: Machine) -> dict[str, tuple[int, int, int, int, int]]:
    """Name -> base, size, ECC word, version byte, misc byte of the raw table."""
    table = machine.board.flash.read(0, 0x8000)
    count = int.from_bytes(table[16:20], "big")
    found = {}
    for at in range(48, 48 + 128 * count, 128):
        raw = bytes(table[at : at + 128])
        base, size = (int.from_bytes(raw[i : i + 4], "big") * 0x1000 for i in (16, 20))
        integrity = int.from_bytes(raw[62:64], "big")
        found[raw[:16].rstrip(b"\0").decode()] = base, size, integrity, raw[64], raw[65]
    return found


def test_the_layout_of_power10_is_that_of_its_file() -> None:
    found = entries(Machine("p10-full"))
    del found["part"]
    at, expected = 0x8000, {}
    for row in POWER10.strip().splitlines():
        name, size, letters = row.split()
        misc = sum(bit for letter, bit in MISC.items() if letter in letters)
        flags = (0x8000 * ("E" in letters), 0x80 * ("C" in letters), misc)
        expected[name] = (at, int(size, 16), *flags)
        at += int(size, 16)
    assert found == expected


def test_the_128_mib_flash_has_the_partitions_of_the_other() -> None:
    small, large = entries(Machine("p9")), entries(Machine("p9-128m"))
    moved = {name for name in small if small[name][0] != large[name][0]}
    assert list(small) == list(large)
    assert moved == {"HBI", "SBE", "HCODE", "HBRT", "PAYLOAD", "OCC", "BOOTKERNEL"}
    for name in small.keys() - {"BOOTKERNEL"}:
        assert large[name][1:] == small[name][1:]
        assert (large[name][0] - small[name][0]) in (0, WINDOW)


@pytest.mark.parametrize("name", ["NVRAM", "SECBOOT", "VERSION", "CAPP", "BOOTKERNEL"])
def test_what_skiboot_reads_of_it_lies_where_qemu_shows_it(name: str) -> None:
    base, size, *_ = entries(Machine("p9-128m"))[name]
    assert base + size <= WINDOW
    assert name != "BOOTKERNEL" or size >= 45_850_416  # Debian's kernel and its header
