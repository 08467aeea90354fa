"""No stage holds an earlier stage's bytes: a change between two stages is seen."""

from __future__ import annotations

import pytest

from pefstack import BootFailure, Machine, Refusal
from pefstack.firmware.boot import STAGES


@pytest.mark.parametrize(
    ("before", "partition"),
    [("hostboot_loader", "HBB"), ("hostboot_init", "HBI"), ("hostboot_ext", "PAYLOAD")],
)
def test_flash_changed_between_two_stages_is_seen(
    small: Machine, before: str, partition: str
) -> None:
    small.run(until=STAGES[STAGES.index(before) - 1])
    small.flash[partition].write(b"\xff\x00" * 8, 0x1400)
    with pytest.raises(BootFailure) as caught:
        small.run()
    assert (caught.value.stage, caught.value.log) == (before, 0xFFFFFFFFFFFF8172)


def test_a_change_behind_the_reader_is_not_seen(small: Machine) -> None:
    good = small.fork().run().pcrs()
    small.run(until="hostboot_loader")
    small.flash["HBB"].write(b"\xff\x00" * 8, 0x1400)
    assert small.run().pcrs() == good


def test_settings_are_read_again_by_every_stage(small: Machine) -> None:
    small.run(until="sbe_immutable")
    seeprom = small.board.seeprom
    at = seeprom.content.index(small.board.fuses.hw_key_hash)
    seeprom.reprogram(at, bytes([seeprom.content[at] ^ 1]))
    with pytest.raises(BootFailure) as caught:
        small.run()
    failure = caught.value
    assert (failure.stage, failure.refusal) == ("sbe_mutable", Refusal.SETTINGS_DIFFER)


def test_hbb_header_in_memory_is_what_hostboot_logs(small: Machine) -> None:
    """Hostboot takes HBB's hash from memory, as the loader left it there."""
    small.run(until="hostboot_loader")
    small.board.memory.write(0x0800_0000 - 4096 + 1085, b"\xee" * 64)
    small.run()
    assert b"\xee" * 32 in small.event_log


def test_swapped_seeprom_code_is_seen_by_the_mutable_loader(small: Machine) -> None:
    small.run(until="sbe_immutable")
    seeprom = small.board.seeprom
    seeprom.reprogram(0x1000, bytes([seeprom.content[0x1000] ^ 4]))  # inside .base
    with pytest.raises(BootFailure) as caught:
        small.run()
    assert caught.value.stage == "sbe_mutable"
