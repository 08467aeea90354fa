"""Registers of a TPM before its first command, and of none."""

from __future__ import annotations

import pytest

from pefstack.hw.entropy import Clock
from pefstack.hw.journal import Journal
from pefstack.hw.tpm import client
from pefstack.hw.tpm.absent import AbsentTpm
from pefstack.hw.tpm.client import TpmError
from pefstack.hw.tpm.faulty import FaultyTpm
from pefstack.hw.tpm.interface import TpmInterface
from tpm_kit import off_tpm


def test_no_tpm_answers_nothing() -> None:
    absent = AbsentTpm()
    absent.power_on()
    assert absent.read_id() == b"\xff\xff\xff\xff"
    assert not any(absent.request_locality(number) for number in range(5))
    with pytest.raises(TpmError, match="0x101"):
        client.response(absent.execute(client.startup()))
    absent.power_off()
    fork = absent.fork(Journal(), clock=Clock())
    assert fork.execute(b"") == absent.execute(b"")


@pytest.mark.parametrize("dies_at", [0, 9])
def test_a_tpm_says_who_it_is_and_grants_localities(dies_at: int) -> None:
    inner, journal, _ = off_tpm()
    tpm: TpmInterface = FaultyTpm(inner, dies_at) if dies_at else inner
    assert tpm.read_id() == b"\xff" * 4
    assert not tpm.request_locality(0)
    tpm.power_on()
    assert tpm.read_id().hex() == "14100100"  # IBM 0x1014, device 1, little-endian
    granted = [tpm.request_locality(number) for number in range(-1, 7)]
    assert granted == [False, True, True, True, True, True, False, False]
    tpm.power_off()
    assert tpm.read_id() == b"\xff" * 4
    assert len(journal) == 0


def test_reading_registers_is_no_command() -> None:
    """A TPM that dies at its second command lives through any number of reads."""
    inner, _, _ = off_tpm()
    tpm = FaultyTpm(inner, 2)
    tpm.power_on()
    for _ in range(5):
        assert tpm.request_locality(0) and tpm.read_id()[:2] == b"\x14\x10"
    client.response(tpm.execute(client.startup()))
    with pytest.raises(TpmError):
        client.response(tpm.execute(client.get_random(8)))
