"""A board is a value: a fork shares nothing that can change."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import pytest

from pefstack import Machine
from pefstack.hw.board import Board
from pefstack.hw.chip import SCRATCH_11
from pefstack.hw.tpm import client
from pefstack.images import ecc

PLACE = 0x4000_0000


def state(board: Board) -> dict[str, object]:
    """Everything of a board that can change, as values."""
    tpm = board.tpm.fork(board.journal.fork())
    answer = tpm.execute(client.pcr_read({0x000B: range(8)}))
    return {
        "journal": list(board.journal),
        "clock": board.clock.now,
        "chip": [board.chip.get_scom(SCRATCH_11), board.chip.get_measurement(0, 16)],
        "seeprom": board.seeprom.content,
        "locked": board.measurement_seeprom.locked,
        "flash": bytes(board.flash.read(0, board.flash.size)),
        "corrected": board.flash.corrected_count,
        "memory": board.memory.read(PLACE, 64),
        "tpm": answer,
    }


def change(board: Board, value: int) -> None:
    """Touch every device."""
    board.clock.advance(value)
    board.chip.put_scom(SCRATCH_11, value)
    board.seeprom.reprogram(0, bytes([value]))  # the update lock is set
    board.measurement_seeprom.locked = False
    word = bytearray(ecc.encode(bytes([value]) * 8))
    word[0] ^= 1
    board.flash.write(8, bytes(word))
    for _ in range(value >> 4):
        board.flash.read_ecc(8, 9)
    board.memory.write(PLACE, bytes([value]) * 16)
    board.tpm.execute(client.pcr_extend(7, {0x000B: bytes([value]) * 32}))


def by_fork(machine: Machine) -> Machine:
    return machine.fork()


def test_no_pickle_of_a_machine() -> None:
    """It would carry the TPM's secrets away."""
    with pytest.raises(TypeError, match="state file"):
        pickle.dumps(Machine("small"))


COPIES = pytest.mark.parametrize("copied", [by_fork])


@COPIES
def test_copies_of_a_booted_machine_go_their_own_ways(
    booted: Machine, copied: Callable[[Machine], Machine]
) -> None:
    before = state(booted.board)
    other = copied(booted)
    assert state(other.board) == before
    change(other.board, 0x11)
    assert state(booted.board) == before
    theirs = state(other.board)
    change(booted.board, 0x22)
    assert state(other.board) == theirs
    ours = state(booted.board)
    assert [key for key in ours if ours[key] == theirs[key]] == ["locked"]
    assert [key for key in ours if ours[key] == before[key]] == []


@COPIES
def test_a_copy_in_the_middle_of_a_boot_goes_on(
    small: Machine, copied: Callable[[Machine], Machine]
) -> None:
    small.run("hostboot_loader")
    other = copied(small)
    assert other.stage == "hostboot_init"
    other.run()
    assert small.stage == "hostboot_init"
    small.run()
    assert state(small.board) == state(other.board)
    assert small.event_log == other.event_log


def test_devices_of_a_copy_write_into_its_own_journal(booted: Machine) -> None:
    for other in (booted.fork(), booted.fork()):
        count = len(booted.journal)
        change(other.board, 0x33)
        added = [each.kind for each in list(other.journal)[count:]]
        assert added == ["ecc-corrected", "ecc-corrected", "ecc-corrected", "extend"]
        assert len(booted.journal) == count


def test_a_fork_shares_the_image(booted: Machine) -> None:
    fork = booted.fork()
    assert fork.board.flash._image.obj is booted.board.flash._image.obj
