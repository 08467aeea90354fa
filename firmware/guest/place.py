"""A guest's images in its memory, as they lie when the kernel asks for secure mode.

From below: boot wrapper, kernel with its .bss, initramfs, ESM blob, device tree, a page
for the early boot; the RTAS area is the highest page. All of it is inside the first
768 MiB, which is as far as the real-mode area of a guest goes (esm.md 2.1, step 9).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

from pefstack.firmware.guest.kernel import Data, LoadedKernel, load_kernel
from pefstack.firmware.guest.tree import TreeContent, guest_tree
from pefstack.hw.guest_spec import GuestImages, GuestSpec
from pefstack.hw.mapping import SettingError
from pefstack.hw.memory import PAGE_SIZE
from pefstack.images.rtas import RTAS_SIZE, RTAS_TEXT

RMO_TOP: Final = 768 << 20
HEAP_SIZE: Final = PAGE_SIZE


class MemoryWriter(Protocol):
    """Guest memory that can be written, by guest address."""

    def write(self, gpa: int, data: Data, /) -> None:
        """Write ``data`` from a guest address on."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where what lies; guest addresses, sizes in bytes.

    ``kernel_size`` is that of the flat image at ``kbase``. ``bootargs`` is the command
    line that holds, without its NUL. ``heap``: a page that the early boot writes to.
    ``regions``: all that is taken, by name, without overlaps.
    """

    kbase: int
    kernel_size: int
    fdt: range
    rtas_base: int
    heap: int
    bootargs: bytes
    initrd: range | None = None
    esm_blob: range | None = None
    regions: tuple[tuple[str, range], ...] = ()

    @property
    def fdt_address(self) -> int:
        """Where the device tree begins."""
        return self.fdt.start


def place(
    memory: MemoryWriter,
    spec: GuestSpec,
    images: GuestImages,
    *,
    rng_seed: bytes = b"",
    swapped_blob: bool = False,
) -> Placement:
    """Write a guest into memory that is blank so far; nothing, if it does not fit.

    What a zImage brings along goes before ``images`` and ``spec``. Raises `FormatError`
    for a kernel that cannot be read, `SettingError` with the name of what does not fit.
    """
    kernel = load_kernel(images.kernel)
    plan = _Plan(spec)
    plan.put_kernel(kernel)
    initrd = plan.put_some("initrd", kernel.initrd or images.initrd)
    esm_blob = plan.put_some("esm-blob", kernel.esm_blob)
    content = TreeContent(
        bootargs=_bootargs(spec, kernel),
        rtas_base=plan.rtas_base,
        initrd=initrd,
        esm_blob=esm_blob,
        rng_seed=rng_seed,
        swapped_blob=swapped_blob,
    )
    fdt = plan.put("device tree", guest_tree(spec, content).to_bytes())
    heap = plan.put("heap", b"", size=HEAP_SIZE)
    plan.put_rtas()
    plan.write_to(memory)
    return Placement(
        kbase=kernel.kbase,
        kernel_size=len(kernel.flat),
        fdt=fdt,
        rtas_base=plan.rtas_base,
        heap=heap.start,
        bootargs=content.bootargs,
        initrd=initrd,
        esm_blob=esm_blob,
        regions=tuple(plan.regions),
    )


class _Plan:
    """Regions one above the other, and what has to be written."""

    def __init__(self, spec: GuestSpec) -> None:
        self._memory = spec.memory
        self.rtas_base: Final = min(RMO_TOP, spec.memory) - PAGE_SIZE
        self.regions: list[tuple[str, range]] = []
        self._writes: list[tuple[int, Data]] = []
        self._end = 0

    def put_kernel(self, kernel: LoadedKernel) -> None:
        if kernel.wrapper:
            start = min(at for at, _ in kernel.wrapper)
            self._take("boot wrapper", range(start, kernel.wrapper_end))
            self._writes += kernel.wrapper
        at = kernel.kbase
        self._take("kernel", range(at, at + kernel.memory_size))
        self._writes.append((at, kernel.flat))

    def put_some(self, name: str, data: Data | None) -> range | None:
        """As `put`; None for what is not there or empty."""
        return self.put(name, data) if data else None

    def put(self, name: str, data: Data, *, size: int = 0) -> range:
        """From the next page on; ``size`` counts when there is less data."""
        size = max(size, len(data))
        start = -(-self._end // PAGE_SIZE) * PAGE_SIZE
        place = range(start, start + size)
        self._take(name, place)
        self._writes.append((start, data))
        return place

    def put_rtas(self) -> None:
        self.regions.append(("rtas", range(self.rtas_base, self.rtas_base + PAGE_SIZE)))
        self._writes.append((self.rtas_base, RTAS_TEXT.ljust(RTAS_SIZE, b"\0")))

    def write_to(self, memory: MemoryWriter) -> None:
        for address, data in self._writes:
            memory.write(address, data)

    def _take(self, name: str, place: range) -> None:
        if place.stop > self.rtas_base:
            raise self._too_large(name, place.stop)
        self.regions.append((name, place))
        self._end = place.stop

    def _too_large(self, name: str, end: int) -> SettingError:
        whose = "the VM's memory" if self._memory < RMO_TOP else "the first 768 MiB"
        right = f"0x{self.rtas_base:x} at most, the last page of {whose}"
        return SettingError(name, f"found an end at 0x{end:x}, expected {right}")


def _bootargs(spec: GuestSpec, kernel: LoadedKernel) -> bytes:
    if kernel.command_line is not None:
        return kernel.command_line
    return spec.command_line.encode()
