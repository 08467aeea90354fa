"""The same generated commands to our TPM and to swtpm (issue: the TPM core)."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from lockstep.accepted import FILE
from lockstep.driver import BY_CODE
from lockstep.pair import KeptOpen, Side
from lockstep.run import run, shrunk
from pefstack.hw.tpm.codes import TpmCc
from pefstack.hw.tpm.commands.table import CODES
from swtpm_kit import swtpm
from tpm_kit import ALL_BANKS, off_tpm

STEPS = 250
WANTED = int(os.environ.get("PEFSTACK_DIFFERENTIAL", "1500"))
FIRST = int(os.environ.get("PEFSTACK_DIFFERENTIAL_SEED", "1"))


@contextmanager
def both() -> Iterator[list[Side]]:
    """A new TPM of ours, and a new swtpm, both with power."""
    with TemporaryDirectory() as folder, swtpm(Path(folder)) as port:
        theirs = KeptOpen(port)
        ours, _, clock = off_tpm(banks=ALL_BANKS, allocated=ALL_BANKS)
        ours.power_on()
        clock.now = 60_000  # for ClockSet to zero: swtpm's clock runs, too
        try:
            yield [ours, theirs]
        finally:
            theirs.close()


@pytest.mark.interop
def test_generated_commands_are_answered_alike() -> None:
    """PEFSTACK_DIFFERENTIAL: how many commands; a failing case comes cut down."""
    sent, codes, seed = 0, Counter[int](), FIRST
    while sent < WANTED:
        driver, found = run(both, seed, range(STEPS))
        assert found is None, str(shrunk(both, found))
        sent, seed = sent + driver.sent, seed + 1
        codes.update(driver.refused)
    assert codes[0] > sent // 12
    assert len(codes) > 40


def test_every_command_is_generated() -> None:
    assert set(BY_CODE) == CODES - {TpmCc.CERTIFY_X509}  # compared in its own test


def test_accepted_differences_are_few_and_have_a_reason() -> None:
    lines = FILE.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 10
    assert all("Part " in line.partition(" : ")[2] for line in lines)
