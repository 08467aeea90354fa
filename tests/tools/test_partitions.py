"""The flash by partition name, for looking and for breaking."""

from __future__ import annotations

import pytest

from pefstack import BootFailure, FormatError, Machine, UsageError

NAMES = ["part", "NVRAM", "SECBOOT", "HBB", "HBI", "PAYLOAD"]


def test_the_names_are_those_of_the_table(small: Machine) -> None:
    assert list(small.flash) == NAMES
    assert len(small.flash) == len(NAMES)
    assert "HBB" in small.flash
    with pytest.raises(KeyError, match="LINUX"):
        small.flash["LINUX"]


def test_raw_bytes_and_data(small: Machine) -> None:
    hbb, payload = small.flash["HBB"], small.flash["PAYLOAD"]
    assert (hbb.offset, hbb.size, hbb.has_ecc) == (0x10000, 0x12000, True)
    assert len(hbb.raw) == 0x12000
    assert len(hbb.data) == 0x10000
    assert hbb.raw[:8] == hbb.data[:8]
    assert hbb.data[:4] == payload.data[:4] == bytes.fromhex("17082011")
    assert payload.raw == payload.data


def test_a_header(small: Machine) -> None:
    header = small.flash["HBB"].header
    assert header.software.component_id == b"HBB\0\0\0\0\0"
    assert header.software.payload_size == 0x8000
    with pytest.raises(FormatError) as wrong:
        _ = small.flash["NVRAM"].header
    assert wrong.value.field == "magic"


def test_what_is_written_has_the_ecc_that_belongs_to_it(small: Machine) -> None:
    before = small.flash["HBB"].data
    small.flash["HBB"].write(b"changed", offset=0x1803)
    after = small.flash["HBB"].data
    assert after[0x1803:0x180A] == b"changed"
    assert after[:0x1803] + after[0x180A:] == before[:0x1803] + before[0x180A:]
    with pytest.raises(BootFailure) as refused:
        small.run()
    assert refused.value.log == 0xFFFFFFFFFFFF8172
    assert not [each for each in small.journal if each.kind.startswith("ecc")]


def test_a_flip_is_seen_by_the_ecc(small: Machine) -> None:
    hbb = small.flash["HBB"]
    data = hbb.data
    hbb.flip(9 * 0x201, bit=5)
    assert small.flash["HBB"].data == data
    small.run()
    corrected = [each for each in small.journal if each.kind == "ecc-corrected"]
    assert [each.detail["offset"] for each in corrected] == [0x10000 + 9 * 0x201]
    hbb.flip(9 * 0x201, bit=5)
    assert small.board.flash.peek_ecc(0x10000, 0x12000).corrected == ()


@pytest.mark.parametrize(("offset", "bit"), [(-1, 0), (0x12000, 0), (0, 8), (0, -1)])
def test_a_flip_outside_is_refused(small: Machine, offset: int, bit: int) -> None:
    with pytest.raises(UsageError, match=f"HBB: no bit {bit} at raw offset"):
        small.flash["HBB"].flip(offset, bit)


@pytest.mark.parametrize(("offset", "size"), [(-1, 1), (0x10000, 1), (0xFFFF, 2)])
def test_a_write_outside_is_refused(small: Machine, offset: int, size: int) -> None:
    before = small.flash["HBB"].raw
    with pytest.raises(UsageError, match=f"HBB: no 0x{size:x} bytes at"):
        small.flash["HBB"].write(bytes(size), offset)
    assert small.flash["HBB"].raw == before


def test_a_fork_is_broken_alone(small: Machine) -> None:
    fork = small.fork()
    fork.flash["PAYLOAD"].write(b"\0" * 8, offset=0x1000)
    with pytest.raises(BootFailure):
        fork.run()
    assert small.run().stage is None
