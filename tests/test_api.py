"""`import pefstack`: few names, each loaded when it is first used."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

import pefstack
from cli_kit import surroundings
from pefstack import Event, Machine, PefError, Refusal, Rejection

NAMES = [
    "BootFailure",
    "DeviceError",
    "Event",
    "FormatError",
    "Journal",
    "Machine",
    "PefError",
    "Refusal",
    "Rejection",
    "UsageError",
    "VerificationError",
]


def test_the_public_names_are_these() -> None:
    assert pefstack.__all__ == NAMES
    for name in NAMES:
        assert getattr(pefstack, name).__name__ == name


def test_another_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="'pefstack' has no attribute 'Guest'"):
        _ = pefstack.Guest


def test_importing_the_package_loads_none_of_its_layers() -> None:
    code = (
        "import sys, pefstack; print(*[n for n in sys.modules if 'pefstack.' in n]);"
        "pefstack.PefError; print('pefstack.hw' in sys.modules)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, env=surroundings(), text=True, capture_output=True, check=True
    )
    assert done.stdout.splitlines() == ["", "False"]


def test_everything_that_people_can_act_on_is_one_family() -> None:
    for name in NAMES:
        each = getattr(pefstack, name)
        if issubclass(each, Exception):
            assert issubclass(each, PefError)


def test_the_page_of_the_readme() -> None:
    machine = Machine("small").run(until="opal")
    assert len(machine.pcr(6)) == 32
    assert all(isinstance(event, Event) for event in machine.journal)
    fork = machine.fork()
    assert fork.flash["HBB"].header == machine.flash["HBB"].header


@pytest.mark.parametrize(
    "error",
    [
        pefstack.BootFailure("opal", Refusal.LOG_FULL, "reason", "mend", 5),
        pefstack.DeviceError("tpm", 0x101, "failure"),
        pefstack.FormatError("format", "field", 8, "0x1", "0x2"),
        pefstack.UsageError("say it again"),
        pefstack.VerificationError(next(iter(Rejection)), "found", "expected"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_comes_home_from_another_process(error: PefError) -> None:
    restored = pickle.loads(pickle.dumps(error))
    assert type(restored) is type(error)
    assert str(restored) == str(error)
    assert vars(restored) == vars(error)
