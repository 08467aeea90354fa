"""A guest's kernel file, and what of it the loader puts into memory.

A vmlinux and a flat image lie where QEMU loads kernels. A zImage lies there itself; its
boot wrapper then unpacks the kernel above (esm.md 6.1; Linux, arch/powerpc/boot/of.c).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from pefstack.images.elf import PT_LOAD, Elf, ElfSegment
from pefstack.images.elf_header import MAGIC as ELF_MAGIC
from pefstack.images.errors import FormatError
from pefstack.images.flat_image import flat_image
from pefstack.images.zimage import Zimage, is_zimage

LOAD_ADDRESS: Final = 0x40_0000  # QEMU's, for whatever -kernel names
WRAPPED_ADDRESS: Final = 0x140_0000  # the lowest that a wrapper gives a 64-bit kernel
_WRAPPED_STEP: Final = 0x10_0000
_ADDRESS_MASK: Final = 0x0FFF_FFFF  # QEMU takes the rest off an ELF file's addresses

Data = bytes | memoryview
Piece = tuple[int, Data]  # guest address, bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedKernel:
    """A kernel to be placed; sizes in bytes.

    ``flat`` is what is hashed, at guest address ``kbase``; it uses ``memory_size``
    there, its .bss included where the file says so. ``wrapper``: pieces of a boot
    wrapper, which end at ``wrapper_end``. What the wrapper brings along goes before
    what the loader was given: ``initrd``, ``esm_blob``, ``command_line``.
    """

    kbase: int
    flat: Data = field(repr=False)
    memory_size: int
    wrapper: tuple[Piece, ...] = field(default=(), repr=False)
    wrapper_end: int = LOAD_ADDRESS
    initrd: memoryview | None = field(default=None, repr=False)
    esm_blob: memoryview | None = field(default=None, repr=False)
    command_line: bytes | None = None


def load_kernel(raw: Data) -> LoadedKernel:
    """A vmlinux, a zImage, or, without an ELF header, a flat image.

    A flat image does not say how large its .bss is: none is counted. Raises
    `FormatError` for no bytes, and what `Elf`, `Zimage` and `flat_image` refuse.
    """
    if not len(raw):
        raise FormatError("kernel", "size", 0, "0x0 bytes", "a kernel")
    if bytes(raw[: len(ELF_MAGIC)]) != ELF_MAGIC:
        return LoadedKernel(kbase=LOAD_ADDRESS, flat=raw, memory_size=len(raw))
    elf = Elf.from_bytes(raw)
    if is_zimage(elf):
        return _unwrapped(Zimage.from_elf(elf))
    flat = flat_image(elf)
    size = max(len(flat), _span(elf))
    return LoadedKernel(kbase=LOAD_ADDRESS, flat=flat, memory_size=size)


def _unwrapped(zimage: Zimage) -> LoadedKernel:
    elf = zimage.vmlinux()
    flat = flat_image(elf)
    loads = _loads(zimage.elf)
    end = max((_address(s) + s.p_memsz for s in loads), default=LOAD_ADDRESS)
    lowest = max(end, WRAPPED_ADDRESS) if elf.header.bits == 64 else end
    return LoadedKernel(
        kbase=-(-lowest // _WRAPPED_STEP) * _WRAPPED_STEP,
        flat=flat,
        memory_size=max(len(flat), _span(elf)),
        wrapper=tuple((_address(s), _content(zimage.elf, s)) for s in loads),
        wrapper_end=end,
        initrd=zimage.initrd,
        esm_blob=zimage.esm_blob,
        command_line=zimage.cmdline,
    )


def _loads(elf: Elf) -> list[ElfSegment]:
    return [s for s in elf.segments if s.p_type == PT_LOAD and s.p_memsz]


def _span(elf: Elf) -> int:
    """From the lowest address of a segment to the highest, .bss included."""
    loads = _loads(elf)
    start = min((s.p_vaddr for s in loads), default=0)
    return max((s.p_vaddr + s.p_memsz for s in loads), default=0) - start


def _address(segment: ElfSegment) -> int:
    return LOAD_ADDRESS + (segment.p_paddr & _ADDRESS_MASK)


def _content(elf: Elf, segment: ElfSegment) -> memoryview:
    size = min(segment.p_filesz, segment.p_memsz)
    return elf.raw[segment.p_offset :][:size]
