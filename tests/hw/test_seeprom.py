"""A SEEPROM: its lock binds firmware, not a clip on the chip's legs."""

from __future__ import annotations

import pickle

import pytest

from pefstack.hw.chip import Chip
from pefstack.hw.errors import DeviceError
from pefstack.hw.seeprom import Seeprom


def test_a_locked_seeprom_refuses_firmware() -> None:
    seeprom = Seeprom(b"0123", locked=True)
    with pytest.raises(DeviceError, match="write-locked") as refused:
        seeprom.write(1, b"x")
    assert (refused.value.device, refused.value.code) == ("seeprom", 1)
    assert seeprom.content == b"0123"


def test_an_unlocked_seeprom_is_written() -> None:
    seeprom = Seeprom(b"0123", locked=False)
    seeprom.write(1, b"xy")
    assert seeprom.content == b"0xy3"
    seeprom.locked = True
    with pytest.raises(DeviceError, match="write-locked"):
        seeprom.write(0, b"z")


def test_a_clip_goes_past_the_lock() -> None:
    seeprom = Seeprom(b"0123", locked=True)
    seeprom.reprogram(2, b"xy")
    assert seeprom.content == b"01xy"
    assert seeprom.locked


@pytest.mark.parametrize(("offset", "data"), [(-1, b"x"), (4, b"x"), (2, b"xyz")])
def test_nothing_is_written_outside(offset: int, data: bytes) -> None:
    seeprom = Seeprom(b"0123", locked=False)
    for write in (seeprom.write, seeprom.reprogram):
        with pytest.raises(DeviceError, match=f"no {len(data)} bytes") as refused:
            write(offset, data)
        assert refused.value.code == offset
    assert seeprom.content == b"0123"


def test_a_fork_and_a_pickle_are_independent() -> None:
    seeprom = Seeprom(b"0123", locked=True)
    for copy in (seeprom.fork(), pickle.loads(pickle.dumps(seeprom))):
        assert copy.locked
        copy.locked = False
        copy.write(0, b"x")
        assert copy.content == b"x123"
    assert seeprom.content == b"0123"
    assert seeprom.locked


def test_the_update_lock_of_the_chip_counts_too() -> None:
    device = Chip(smd=False, pef_enable=True, pvr=0, node_id=0)
    seeprom = Seeprom(b"0123", locked=False, chip=device)
    seeprom.replace(b"012345")
    seeprom.write(5, b"6")
    device.put_scom(0x10005, 0x0800_0000_0000_0000)
    with pytest.raises(DeviceError, match="write-locked"):
        seeprom.write(0, b"x")
    with pytest.raises(DeviceError, match="write-locked"):
        seeprom.replace(b"x")
    assert seeprom.content == b"012346"
    other = seeprom.fork(Chip(smd=False, pef_enable=True, pvr=0, node_id=0))
    other.write(0, b"x")
    assert (seeprom.content, other.content) == (b"012346", b"x12346")


def test_a_seeprom_that_is_locked_for_good_is_not_replaced() -> None:
    with pytest.raises(DeviceError):
        Seeprom(b"0123", locked=True).replace(b"x")
