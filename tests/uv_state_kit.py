"""Machines whose VM is secure, on its way, or aborted; each call gives a new one."""

from __future__ import annotations

from functools import cache

from pefstack.firmware.ultravisor.svm import SvmState
from uv_guest_kit import v2_guest
from uv_kit import World, entered


@cache
def _secure() -> World:
    world = World().place(v2_guest())
    assert entered(world.esm())
    return world


def secure() -> World:
    """A machine with a secure VM."""
    return _secure().fork()


def transition(step: int = 19, profile: str = "strict") -> World:
    """One whose VM is on its way."""
    return World(profile).place(v2_guest()).begin().until(step)


def aborted() -> World:
    """One whose VM was refused, and whose hypervisor does not end it."""
    world = World().place(v2_guest(bootargs=b"other\0"))
    world.kvm.instead = lambda _h, _l, number, _a: (-4,) if number == 0xEF14 else None
    world.esm()
    world.kvm.instead = None
    assert world.svm.state is SvmState.ABORT
    return world
