"""What a machine's first VM is started from, and how large it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from pefstack.hw.mapping import SettingError, check_range
from pefstack.hw.memory import PAGE_SIZE

MIN_MEMORY: Final = 0x0400_0000
MAX_MEMORY: Final = 0x8000_0000
MAX_CPUS: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestSpec:
    """A VM: ``memory`` in bytes, a multiple of 64 KiB.

    ``command_line``: the kernel asks for secure mode when ``svm=on`` stands in it.
    ``firmware``: what starts it in QEMU (real-guest.md): with ``slof`` the addresses of
    the initramfs in the device tree have two cells, with ``vof`` one.
    """

    memory: int = 0x2000_0000
    cpus: int = 1
    command_line: str = "svm=on"
    firmware: str = "slof"

    def __post_init__(self) -> None:
        check_range("memory", self.memory, MAX_MEMORY)
        if self.memory < MIN_MEMORY or self.memory % PAGE_SIZE:
            least = f"at least 0x{MIN_MEMORY:x}, a multiple of 0x{PAGE_SIZE:x}"
            raise SettingError("memory", f"found 0x{self.memory:x}, expected {least}")
        if not 1 <= self.cpus <= MAX_CPUS:
            found = f"found {self.cpus}, expected 1 to {MAX_CPUS}"
            raise SettingError("cpus", found)
        if self.firmware not in ("slof", "vof"):
            found = f"found {self.firmware!r}, expected slof or vof"
            raise SettingError("firmware", found)
        if "\0" in self.command_line:
            raise SettingError("command-line", "holds a NUL")


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestImages:
    """The files of a VM; ``kernel`` is a vmlinux, a zImage or a flat image."""

    kernel: bytes | memoryview = field(repr=False)
    initrd: bytes | memoryview = field(default=b"", repr=False)
