"""The chip's registers: jumper, secure access bit, switches (boot-chain.md 1.5)."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pefstack.hw.chip import Chip
from pefstack.hw.errors import DeviceError

# written out from boot-chain.md 1.5, not taken from the module
CBS, SWITCH, SWITCH_CLEAR = 0x50001, 0x10005, 0x10006
MEASUREMENT, MEASUREMENT_COUNT, SCRATCH_11 = 0x10010, 16, 0x50182
SAB, SMD = 1 << 63 - 4, 1 << 63 - 5
SWITCH_SAB, SUL, TDP = 1 << 63, 1 << 63 - 4, 0x0008000000000000
SCRATCH_3, SCRATCH_8 = 0x5003A, 0x5003F
KNOWN = {CBS, SWITCH, SWITCH_CLEAR, SCRATCH_3, SCRATCH_8, SCRATCH_11}
KNOWN |= set(range(MEASUREMENT, MEASUREMENT + 16))
WORDS = st.integers(0, (1 << 64) - 1)


def chip(*, smd: bool = False, pef_enable: bool = True) -> Chip:
    return Chip(smd=smd, pef_enable=pef_enable, pvr=0x800200, node_id=0)


def test_the_jumper_asks_for_security_off() -> None:
    off, on = chip(smd=True), chip(smd=False)
    assert (off.smd, off.secure) == (True, False)
    assert off.get_scom(CBS) == SMD
    assert (on.smd, on.secure) == (False, True)
    assert on.get_scom(CBS) == SAB


@given(st.booleans(), st.lists(WORDS, max_size=4))
def test_the_jumper_cannot_be_written(smd: bool, values: list[int]) -> None:
    device = chip(smd=smd)
    for value in values:
        device.put_scom(CBS, value)
        assert device.smd is smd
        assert device.get_scom(CBS) == (value & ~SMD) | (SMD if smd else 0)


def test_a_written_jumper_bit_changes_nothing() -> None:
    on = chip(smd=False)
    on.put_scom(CBS, SAB | SMD)
    assert on.get_scom(CBS) == SAB
    off = chip(smd=True)
    off.put_scom(CBS, 0)
    assert off.smd


def test_the_switch_register_mirrors_the_secure_access_bit() -> None:
    device = chip(smd=True)
    assert device.get_scom(SWITCH) == 0
    device.put_scom(SWITCH, SWITCH_SAB)
    assert device.get_scom(SWITCH) == 0  # a mirror cannot be written
    device.put_scom(CBS, SAB)
    assert device.get_scom(SWITCH) == SWITCH_SAB
    device.put_scom(SWITCH_CLEAR, SWITCH_SAB)
    assert device.get_scom(SWITCH) == SWITCH_SAB
    device.put_scom(CBS, 0)
    assert device.get_scom(SWITCH) == 0


def test_switch_bits_are_only_set_and_cleared_elsewhere() -> None:
    device = chip()
    device.put_scom(SWITCH, SUL)
    device.put_scom(SWITCH, TDP)
    assert device.get_scom(SWITCH) == SWITCH_SAB | SUL | TDP
    device.put_scom(SWITCH, 0)
    assert device.get_scom(SWITCH) == SWITCH_SAB | SUL | TDP
    device.put_scom(SWITCH_CLEAR, TDP)
    assert device.get_scom(SWITCH) == SWITCH_SAB | SUL


@given(st.integers(-1, 0x60000).filter(lambda address: address not in KNOWN))
def test_there_is_nothing_at_other_addresses(address: int) -> None:
    device = chip()
    with pytest.raises(DeviceError, match="no SCOM register") as refused:
        device.get_scom(address)
    assert (refused.value.device, refused.value.code) == ("chip", address)
    with pytest.raises(DeviceError, match="no SCOM register"):
        device.put_scom(address, 1)


def test_the_clear_register_cannot_be_read() -> None:
    with pytest.raises(DeviceError, match="no SCOM register"):
        chip().get_scom(SWITCH_CLEAR)


@given(st.integers(0, 15), st.binary(min_size=1, max_size=64))
def test_measurement_registers_hold_bytes(first: int, data: bytes) -> None:
    device = chip()
    count = -(-len(data) // 8)
    if first + count > MEASUREMENT_COUNT:
        with pytest.raises(DeviceError):
            device.put_measurement(first, data)
        return
    device.put_measurement(first, data)
    assert device.get_measurement(first, count) == data.ljust(8 * count, b"\0")
    register = device.get_scom(MEASUREMENT + first)
    assert register == int.from_bytes(data[:8].ljust(8, b"\0"), "big")


def test_a_register_has_64_bits() -> None:
    device = chip()
    device.put_scom(SCRATCH_11, (1 << 64) + 5)
    assert device.get_scom(SCRATCH_11) == 5


def test_machine_state_shows_pef() -> None:
    hypervisor, secure = 1 << 63 - 3, 1 << 63 - 41
    assert chip(pef_enable=True).msr == hypervisor | secure
    assert chip(pef_enable=False).msr == hypervisor


def test_a_fork_and_a_pickle_are_independent() -> None:
    device = chip()
    device.put_scom(SWITCH, SUL)
    device.put_measurement(0, b"before")
    for copy in (device.fork(), pickle.loads(pickle.dumps(device))):
        assert copy.get_scom(SWITCH) == SWITCH_SAB | SUL
        assert copy.get_measurement(0, 1) == b"before\0\0"
        copy.put_scom(SWITCH, TDP)
        copy.put_scom(CBS, 0)
        copy.put_measurement(0, b"after")
        assert copy.get_scom(SWITCH) == SUL | TDP
    assert device.get_scom(SWITCH) == SWITCH_SAB | SUL
    assert device.get_measurement(0, 1) == b"before\0\0"


@given(st.integers(0, (1 << 32) - 1), st.integers(0, (1 << 32) - 1))
def test_the_mailbox_holds_32_bits_in_the_high_word(word_3: int, word_8: int) -> None:
    device = Chip(
        smd=False, pef_enable=True, pvr=0, node_id=0, scratch_3=word_3, scratch_8=word_8
    )
    for each in (device, device.fork(), pickle.loads(pickle.dumps(device))):
        assert each.get_scom(SCRATCH_3) == word_3 << 32
        assert each.get_scom(SCRATCH_8) == word_8 << 32


def test_a_cold_reset_clears_everything_and_samples_the_jumper() -> None:
    device = Chip(
        smd=False, pef_enable=True, pvr=0, node_id=0, scratch_3=5, scratch_8=6
    )
    for register in (SCRATCH_3, SCRATCH_8, SCRATCH_11, MEASUREMENT):
        device.put_scom(register, 0x77)
    device.put_scom(SWITCH, SUL | TDP)
    device.jumper = True
    assert not device.smd and device.update_locked  # sampled at the reset only
    device.reset()
    assert (device.smd, device.secure, device.update_locked) == (True, False, False)
    assert device.get_scom(SWITCH) == 0
    assert [device.get_scom(each) >> 32 for each in (SCRATCH_3, SCRATCH_8)] == [5, 6]
    assert not device.get_scom(SCRATCH_11) and not device.get_scom(MEASUREMENT)
    assert not device.memory_preserving


@pytest.mark.parametrize("sab", [0, SAB])
@pytest.mark.parametrize("jumper", [False, True])
def test_a_memory_preserving_reset_keeps_sab_switches_and_mailbox(
    sab: int, jumper: bool
) -> None:
    device = chip(smd=False)
    device.put_scom(CBS, sab)
    device.put_scom(SWITCH, SUL | TDP)
    device.put_scom(SCRATCH_3, 0x77)
    device.put_scom(SCRATCH_11, 0x77)
    device.jumper = jumper
    device.reset(memory_preserving=True)
    assert (device.secure, device.smd) == (bool(sab), jumper)
    assert device.get_scom(SWITCH) & (SUL | TDP) == SUL | TDP
    assert device.get_scom(SCRATCH_3) == 0x77
    assert device.get_scom(SCRATCH_11) == 0
    assert device.memory_preserving and device.fork().memory_preserving


def test_a_fork_has_a_jumper_of_its_own() -> None:
    device = chip()
    device.jumper = True
    copy = device.fork()
    assert copy.jumper and not copy.smd
    copy.jumper = False
    device.reset()
    copy.reset()
    assert (device.smd, copy.smd) == (True, False)
