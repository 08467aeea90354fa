"""Secrets that are planted on a machine are found in each place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from pefstack.firmware.ultravisor.effects import Reason
from pefstack.images.errors import PefError
from secret_kit import Watched, asking, running, uv_of
from secret_search import (
    exception_texts,
)

SECRET: Final = bytes((each * 37 + 11) % 256 for each in range(32))

Plant = Callable[[Watched, bytes], object]


def in_said(watched: Watched, secret: bytes) -> None:
    watched.said.append(exception_texts(PefError(secret)))


def in_reasons(watched: Watched, secret: bytes) -> None:
    reason = Reason(step=1, name="x", text=secret[4:8].hex())
    uv_of(watched.machine).note(1, reason)


def in_registers(watched: Watched, secret: bytes) -> None:
    vm = running(watched.machine).vm
    assert vm is not None
    words = [int.from_bytes(secret[at : at + 8], "big") for at in (0, 8, 16, 24)]
    vm.cpu.gpr[20:24] = words


def in_repr(watched: Watched, secret: bytes) -> None:
    guest = running(watched.machine).guest
    assert guest is not None
    guest.message = repr(secret)


PLACES: Final[dict[str, tuple[str, Plant]]] = {
    "memory": (
        "normal memory",
        lambda w, s: w.machine.board.memory.write(0x1234_5FF0, s),
    ),
    "memory of firmware": (
        "normal memory",
        lambda w, s: w.machine.board.memory.write(0x100, s[::-1]),
    ),
    "hypervisor": (
        "hypervisor",
        lambda w, s: running(w.machine).hypervisor.vms[1].pages.update({9: s}),  # type: ignore[dict-item]
    ),
    "registers": ("hypervisor", in_registers),
    "relay": ("relay", lambda w, s: w.tap.seen.append((b"x" + s, b""))),
    "hypercalls": (
        "hypercalls",
        lambda w, s: w.asked.append((1, 2, *[int.from_bytes(s, "big")])),
    ),
    "journal": ("journal", lambda w, s: w.machine.journal.add("x", "y", a=s.hex())),
    "journal number": (
        "journal",
        lambda w, s: w.machine.journal.add("x", "y", a=int.from_bytes(s, "big")),
    ),
    "journal text": (
        "journal JSON",
        lambda w, s: w.machine.journal.add("x", "y", a=f"found {s[:4].hex()}"),
    ),
    "reasons": ("reasons", in_reasons),
    "exceptions": ("exceptions", in_said),
    "repr": ("repr", in_repr),
    "objects": (
        "objects",
        lambda w, s: uv_of(w.machine).sprs.update({1: int.from_bytes(s, "big")}),
    ),
}


@pytest.mark.parametrize("where", PLACES)
def test_each_place_of_a_machine_is_looked_at(where: str) -> None:
    watched = Watched(asking(), secrets={"planted": SECRET})
    assert watched.found() == []
    place, plant = PLACES[where]
    plant(watched, SECRET)
    found = [(each.place, each.secret) for each in watched.found()]
    assert (place, "planted") in found


def test_secrets_of_the_machine_itself_are_looked_for() -> None:
    """Each of them, and none is left out because of how it is named."""
    watched = Watched(asking())
    given = uv_of(watched.machine).machine
    assert given is not None
    secrets = Watched(asking()).run().secrets
    assert {"seed", "encryption key", "HMAC key", "session key A"} <= set(secrets)
    assert {"session key P", "salt A", "salt P"} <= set(secrets)
    for secret in (given.nv_password, given.wrapping_key_password, *secrets.values()):
        other = Watched(asking(), secrets=dict(secrets))
        other.tap.seen.append((secret, b""))
        assert other.found(), secret
