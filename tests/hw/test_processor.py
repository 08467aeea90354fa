"""A secondary chip as a device, and what it is described by."""

from __future__ import annotations

import pytest

from pefstack import Machine
from pefstack.hw.errors import DeviceError
from pefstack.hw.flip import FlipSpec, flipped
from pefstack.hw.mapping import SettingError
from pefstack.hw.tpm.absent import AbsentTpm

SETTINGS = ["machine.secondary-chips=[{}, {smd=true, flip=[{offset=8, bit=7}]}]"]


def machine(*more: str) -> Machine:
    return Machine("small", settings=[*SETTINGS, *more])


def test_a_chip_is_like_the_primary_but_for_what_is_said() -> None:
    board = machine("machine.chip.node-id=5").board
    first, second = board.secondaries
    assert [each.number for each in board.secondaries] == [1, 2]
    assert (first.chip.smd, second.chip.smd) == (False, True)
    assert first.chip.node_id == second.chip.node_id == 5
    assert first.seeprom.content == board.seeprom.content
    changed = bytearray(board.seeprom.content)
    changed[8] ^= 0x80
    assert second.seeprom.content == changed
    assert first.measurement_seeprom.locked
    assert isinstance(first.tpm, AbsentTpm)


def test_the_primarys_jumper_is_every_chips() -> None:
    board = machine("machine.chip.smd=true").board
    assert [each.chip.smd for each in board.secondaries] == [True, True]


def test_code_on_a_chip_sees_its_own_devices_and_the_machines() -> None:
    board = machine().board
    seen = board.seen_from(board.secondaries[1])
    assert (seen.number, seen.chip) == (2, board.secondaries[1].chip)
    assert seen.seeprom is board.secondaries[1].seeprom
    assert seen.memory is board.memory
    assert seen.tpm is not board.tpm
    seen.journal.add("sbe_mutable", "start")
    assert board.journal[0].source == "chip2.sbe_mutable"
    seen.poisoned.add("tpm")
    assert board.poisoned == {"tpm"}


def test_a_silent_chip_is_read_by_itself_alone() -> None:
    silent = Machine("small", settings=["machine.secondary-chips=[{silent=true}]"])
    (processor,) = silent.board.secondaries
    processor.chip.put_measurement(3, b"\1" * 8)
    assert processor.chip.get_measurement(3, 1) == b"\1" * 8
    with pytest.raises(DeviceError, match="chip 1: "):
        processor.measurements(3, 1)
    (other,) = silent.fork().board.secondaries
    with pytest.raises(DeviceError):
        other.measurements(0, 16)


def test_forks_go_their_own_ways() -> None:
    first = machine("machine.backup-tpm={}")
    second = first.fork()
    first.run()
    assert len(second.journal) == 0
    assert second.board.poisoned == set()
    second.run()
    assert list(first.journal) == list(second.journal)


def test_bits_to_flip_lie_inside() -> None:
    with pytest.raises(SettingError, match=r"X\.flip: found 0x3, expected less than"):
        flipped(b"\0\0\0", (FlipSpec(offset=3),), "X")
