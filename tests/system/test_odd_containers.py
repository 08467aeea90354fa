"""Odd bytes where a container is expected end in a sentence, or in what is measured."""

from __future__ import annotations

import pytest

from container_matrix import put_bytes
from pefstack.firmware.stage import BootFailure, Refusal
from pefstack.images.event_log import EventLog
from pefstack.images.event_log_replay import replay
from pefstack.images.signing import SigningOptions, sign_header
from pefstack.images.xip import SECTION_NAMES
from pefstack.tools.machine import Machine
from strategies import imprint_keys

SHA256 = 0x000B
FIRST_PCRS = tuple(range(8))


@pytest.fixture
def jumper_off() -> Machine:
    return Machine("small", settings=["machine.chip.smd=true"])


def check_log(machine: Machine) -> None:
    """The log replays to the PCRs, with whatever was really there."""
    log = EventLog.from_bytes(machine.event_log)
    assert replay(log)[SHA256] == machine.pcrs(FIRST_PCRS)


@pytest.mark.parametrize("name", ["HBB", "HBI", "PAYLOAD"])
@pytest.mark.parametrize(
    ("at", "noise"),
    [(0, bytes(4096)), (0, b"\xff" * 4096), (450, b"\xff"), (523, b"\xff"), (5, b"\2")],
    ids=["zeros", "ones", "key-count", "ecids", "version"],
)
def test_p49_no_container_at_all_is_measured_and_run(
    jumper_off: Machine, name: str, at: int, noise: bytes
) -> None:
    jumper_off.flash[name].write(noise, at)
    assert jumper_off.run().journal[-1].kind == "boot-complete"
    check_log(jumper_off)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_p49_a_damaged_hbb_is_logged_as_it_is(jumper_off: Machine, count: int) -> None:
    data = jumper_off.flash["HBB"].data
    payload = data[4096 : 4096 + 0x8000]
    options = SigningOptions(label="HBB", sw_key_count=count)
    header = sign_header(payload, imprint_keys(), options)
    jumper_off.flash["HBB"].write(header + put_bytes(payload, 9, b"damaged"))
    assert jumper_off.run().journal[-1].kind == "boot-complete"
    check_log(jumper_off)


@pytest.mark.parametrize("smd", ["false", "true"])
@pytest.mark.parametrize(
    ("name", "stage"),
    [(".sbh_firmware", "sbe_immutable"), (".sbh_hbbl", "sbe_mutable")],
)
@pytest.mark.parametrize("size", [0, 8, 4088])
def test_a_short_header_of_the_sbe_is_refused(
    name: str, stage: str, smd: str, size: int
) -> None:
    machine = Machine("small", settings=[f"machine.chip.smd={smd}"])
    entry = 64 + 12 * SECTION_NAMES.index(name)
    machine.board.seeprom.reprogram(entry + 4, size.to_bytes(4, "big"))
    with pytest.raises(BootFailure) as caught:
        machine.run()
    assert (caught.value.stage, caught.value.refusal) == (stage, Refusal.SEEPROM_FORMAT)
    assert name in caught.value.reason
