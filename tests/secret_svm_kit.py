"""A secure VM that has read its secrets, and its hypervisor's way to it."""

from __future__ import annotations

from typing import Final

from pefstack.firmware.hypervisor.kvm import Hypervisor
from pefstack.firmware.hypervisor.vm import Vm
from pefstack.firmware.ultravisor.codes import (
    PAGE_SHIFT,
)
from secret_kit import (
    CUSTOMER_DATA,
    PASSPHRASE,
    Watched,
    asking,
    running,
)

SECRETS: Final = {"passphrase": PASSPHRASE, "customer data": CUSTOMER_DATA}
LPID: Final = 1
_SECURE: Final[dict[str, Watched]] = {}


def secure(name: str = "svm") -> Watched:
    """A VM that is secure and has read its secrets; a fork of its own."""
    if name not in _SECURE:
        _SECURE[name] = Watched(asking(name)).run()
    whole = _SECURE[name]
    return Watched(whole.machine.fork(), secrets=dict(whole.secrets))


def hypervisor_of(watched: Watched) -> Hypervisor:
    return running(watched.machine).hypervisor


def vm_of(watched: Watched) -> Vm:
    return hypervisor_of(watched).vms[LPID]


def call(watched: Watched, number: int, *args: int) -> tuple[int, ...]:
    """An ultra-call of the hypervisor's, with all registers that there are."""
    gate = hypervisor_of(watched).gate
    assert gate is not None
    return gate(number, *(*args, *[0] * 9)[:9])


def secret_pages(watched: Watched) -> list[int]:
    """The numbers of the guest pages where its secrets lie."""
    guest = running(watched.machine).guest
    assert guest is not None
    assert len(guest.secrets) == 2
    return sorted({each.start >> PAGE_SHIFT for each in guest.secrets.values()})
