"""Every boot checks every signature: calls into the library counted from outside.

A verdict that is remembered, in one process or from one fork to the next, would show
as calls that are missing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from pefstack.images.xip import SECTION_NAMES, XipHeader
from pefstack.tools.machine import Machine


@contextmanager
def counted() -> Iterator[list[str]]:
    """Names of the checked curves, one for each call of a public key's verify."""
    calls: list[str] = []

    def profile(frame: FrameType, event: str, arg: Any) -> None:
        if event == "c_call" and getattr(arg, "__name__", "") == "verify":
            key = arg.__self__
            if isinstance(key, ec.EllipticCurvePublicKey):
                calls.append(key.curve.name)

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        yield calls
    finally:
        sys.setprofile(before)


def calls_of(run: Callable[[], object]) -> list[str]:
    with counted() as calls:
        run()
    return calls


def sw_key_count(machine: Machine, name: str) -> int:
    return machine.flash[name].data[450]


def sbe_key_count(machine: Machine, section: str) -> int:
    content = machine.board.seeprom.content
    place = XipHeader.from_prefix(content)[0].sections[SECTION_NAMES.index(section)]
    return content[place.offset + 450]


def wanted(machine: Machine) -> int:
    """By the headers: the SBE checks one key of each kind, SBE_FW twice (1.4, 3.5)."""
    assert sbe_key_count(machine, ".sbh_firmware") >= 1
    assert sbe_key_count(machine, ".sbh_hbbl") >= 1
    sbe = 2 * (1 + 1) + (1 + 1)
    flash = (3 + sw_key_count(machine, name) for name in ("HBB", "HBI", "PAYLOAD"))
    return sbe + sum(flash)


def test_a_boot_checks_every_signature(small: Machine) -> None:
    number = wanted(small)
    assert number == 6 + 4 + 6 + 6
    assert calls_of(small.run) == ["secp521r1"] * number


def test_no_boot_remembers_the_one_before(small: Machine) -> None:
    number = wanted(small)
    for machine in (small.fork(), small.fork(), Machine("small")):
        assert len(calls_of(machine.run)) == number


def test_a_fork_in_mid_boot_checks_the_rest_again(small: Machine) -> None:
    small.run(until="hostboot_loader")
    rest = sum(3 + sw_key_count(small, name) for name in ("HBI", "PAYLOAD"))
    for fork in (small.fork(), small.fork()):
        assert len(calls_of(fork.run)) == rest


def test_every_stage_checks_what_comes_next(small: Machine) -> None:
    counts = {}
    stage = small.stage
    while stage is not None:
        with counted() as calls:
            following = small.step()
        counts[stage] = len(calls)
        stage = following
    assert counts == {
        "sbe_immutable": 2,
        "sbe_mutable": 4,
        "hostboot_loader": 4,
        "hostboot_init": 6,
        "hostboot_ext": 6,
        "opal": 0,
    }


def test_security_off_looks_at_the_signatures_all_the_same() -> None:
    """The verdict is wanted for the journal, whether or not it is enforced (3.5)."""
    machine = Machine("small", settings=["machine.chip.smd=true"])
    assert len(calls_of(machine.run)) == wanted(machine)
