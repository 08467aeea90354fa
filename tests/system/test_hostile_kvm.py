"""The ultravisor against hostile hypervisors: what the VM gets, and what leaks."""

from __future__ import annotations

import pickle
from functools import cache

import pytest

from pefstack import Machine
from pefstack.firmware.guest.early_boot import EarlyBoot, Phase
from pefstack.firmware.hypervisor.hostile import (
    BEHAVIOURS,
    HONEST,
    Outcome,
    behave,
)
from pefstack.firmware.hypervisor.vm import Vm
from pefstack.firmware.ultravisor.guest_memory import SecureGuestMemory
from pefstack.firmware.virtualization import Virtualization
from sealed_guest_kit import PASSPHRASE, guest_of

MACHINES = ("svm", "svm-v1")
NAMES = (HONEST, *BEHAVIOURS)
REPLACING = ("done-replaces-kernel", "done-swaps-kernel")


@cache
def waiting(name: str) -> Machine:
    """A machine whose VM is loaded and has not run yet."""
    return Machine(name).run(until="hypervisor")


class Tried:
    """One try to go secure under a hypervisor that behaves so."""

    def __init__(self, machine: str, behaviour: str) -> None:
        self.machine = waiting(machine).fork()
        running = self.machine.board.running
        assert isinstance(running, Virtualization)
        self.running = running
        assert running.vm is not None and running.guest is not None
        self.vm: Vm = running.vm
        self.guest: EarlyBoot = running.guest
        behave(running.hypervisor, behaviour)
        running.run()

    @property
    def outcome(self) -> Outcome:
        if self.running.vm_secure and self.guest.secure:
            return Outcome.SECURE
        runs = self.guest.phase is Phase.RUNNING
        return Outcome.NORMAL if runs else Outcome.REFUSED

    @property
    def kernel(self) -> range:
        """What was measured of the kernel."""
        place = self.guest.placement
        return range(place.kbase, place.kbase + place.kernel_size)

    def inside(self, place: range) -> bytes:
        """What the secure VM has there."""
        assert self.running.ultravisor is not None
        memory = SecureGuestMemory(self.running.ultravisor, self.vm.lpid)
        return memory.read(place.start, len(place))

    def normal_memory(self) -> bytes:
        """Every page of what the hypervisor reaches, as far as it was written."""
        return pickle.dumps(self.machine.board.memory)


def kernel_of(machine: str) -> bytes:
    """The kernel as the loader placed it."""
    running = waiting(machine).board.running
    assert isinstance(running, Virtualization) and running.vm and running.guest
    place = running.guest.placement
    at = running.vm.real(place.kbase)
    return waiting(machine).board.memory.read(at, place.kernel_size)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", NAMES)
def test_a_vm_is_refused_or_secure_with_the_right_content(
    machine: str, name: str
) -> None:
    tried = Tried(machine, name)
    wanted = Outcome.SECURE if name == HONEST else BEHAVIOURS[name].outcome
    if wanted is Outcome.EITHER:
        assert tried.outcome in (Outcome.SECURE, Outcome.REFUSED)
    else:
        assert tried.outcome is wanted
    if tried.outcome is not Outcome.SECURE:
        assert tried.guest.secrets == {}
        assert tried.machine.board.secure.used_pages == 0
        return
    place = tried.guest.placement
    if machine == "svm" or name not in REPLACING:
        assert tried.inside(tried.kernel) == kernel_of(machine)
    assert place.initrd is not None
    assert tried.inside(place.initrd) == bytes(guest_of(tried.machine).initrd)
    assert tried.inside(tried.guest.secrets["rootfs-passphrase"]) == PASSPHRASE


@pytest.mark.parametrize("name", REPLACING)
def test_a_measured_page_cannot_be_replaced(name: str) -> None:
    tried = Tried("svm", name)
    assert tried.outcome is Outcome.SECURE
    assert tried.inside(tried.kernel) == kernel_of("svm")


@pytest.mark.parametrize("name", REPLACING)
def test_the_published_code_lets_a_measured_page_be_replaced(name: str) -> None:
    """A weakness of the profile `real`: another kernel runs, with the secrets."""
    tried = Tried("svm-v1", name)
    assert tried.outcome is Outcome.SECURE
    assert tried.inside(tried.kernel)[:8] == b"\xee" * 8
    assert "rootfs-passphrase" in tried.guest.secrets


@pytest.mark.parametrize("name", NAMES)
def test_the_passphrase_is_never_in_normal_memory(name: str) -> None:
    tried = Tried("svm", name)
    assert PASSPHRASE not in tried.normal_memory()
    assert PASSPHRASE.decode() not in repr(list(tried.machine.journal))


def test_the_search_finds_what_is_there() -> None:
    tried = Tried("svm", HONEST)
    tried.machine.board.memory.write(tried.vm.real(0x1234), PASSPHRASE)
    assert PASSPHRASE in tried.normal_memory()


def test_after_a_refusal_the_vm_can_try_again() -> None:
    """Under an honest hypervisor then; nothing of the first try is left over."""
    tried = Tried("svm", "done-refuses")
    fresh = waiting("svm").fork().board.running
    assert isinstance(fresh, Virtualization) and fresh.guest is not None
    tried.running.guest = fresh.guest.fork()
    tried.running.guest.start(tried.vm.cpu)
    tried.vm.state = type(tried.vm.state).NORMAL
    behave(tried.running.hypervisor, HONEST)
    tried.running.run()
    assert tried.running.vm_secure and tried.running.guest.secure
