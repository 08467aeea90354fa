"""zImage.pseries: an ELF file with kernel, initrd and ESM blob in it (esm.md 6.1)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from pefstack.images.codec import Buffer
from pefstack.images.compressed import compression_of, unpack
from pefstack.images.elf import Elf
from pefstack.images.elf_header import EM_PPC, EM_PPC64, ET_DYN, ET_EXEC
from pefstack.images.elf_header import MAGIC as ELF_MAGIC
from pefstack.images.errors import FormatError

NAME: Final = "zImage"
KERNEL: Final = ".kernel:vmlinux.strip"
INITRD: Final = ".kernel:initrd"
ESM_BLOB: Final = ".kernel:esm_blob"
CMDLINE: Final = "__builtin_cmdline"
MAX_KERNEL_SIZE: Final = 0x10000000


@dataclass(frozen=True, slots=True, kw_only=True)
class Zimage:
    """What the boot wrapper finds in itself; parts that are empty are None.

    ``kernel`` is as it lies in the file, usually compressed. ``esm_blob`` is only what
    is used: a 32-bit wrapper never looks at its section. ``cmdline`` is without NUL.
    """

    elf: Elf = field(repr=False)
    kernel: memoryview = field(repr=False)
    initrd: memoryview | None = field(repr=False)
    esm_blob: memoryview | None = field(repr=False)
    cmdline: bytes | None

    @classmethod
    def from_bytes(cls, raw: Buffer) -> Zimage:
        """The parts, by the names of their sections; nothing is copied or unpacked.

        Raises `FormatError` for what `Elf.from_bytes` refuses, another machine or
        type, a part that stands twice or has no bytes in the file, and no kernel.
        """
        return cls.from_elf(Elf.from_bytes(raw))

    @classmethod
    def from_elf(cls, elf: Elf) -> Zimage:
        """As `from_bytes`, of a file that was read already."""
        _check_header(elf)
        kernel = _part(elf, KERNEL)
        if kernel is None:
            raise FormatError(NAME, "section", 0, "none", KERNEL)
        esm_blob = _part(elf, ESM_BLOB)
        cmdline = bytes(_part(elf, CMDLINE) or b"").partition(b"\0")[0]
        return cls(
            elf=elf,
            kernel=kernel,
            initrd=_part(elf, INITRD),
            esm_blob=esm_blob if elf.header.bits == 64 else None,
            cmdline=cmdline or None,
        )

    def vmlinux(self, *, limit: int = MAX_KERNEL_SIZE) -> Elf:
        """The kernel, unpacked: at most ``limit`` bytes are made.

        Raises `FormatError` for what `unpack` and `Elf.from_bytes` refuse.
        """
        if bytes(self.kernel[: len(ELF_MAGIC)]) == ELF_MAGIC:
            return Elf.from_bytes(self.kernel)
        return Elf.from_bytes(unpack(self.kernel, limit=limit))

    @property
    def compression(self) -> str:
        """The name of the kernel's compression; ``none``, also for what is unknown."""
        kind = compression_of(self.kernel)
        return kind.name if kind else "none"


def is_zimage(elf: Elf) -> bool:
    """Whether a kernel is in a section of its own."""
    return any(each.name == KERNEL for each in elf.sections)


def _check_header(elf: Elf) -> None:
    header = elf.header
    if header.e_type not in (ET_EXEC, ET_DYN):
        raise FormatError(NAME, "e_type", 16, f"0x{header.e_type:x}", "2 or 3")
    if header.e_machine not in (EM_PPC, EM_PPC64):
        found = f"0x{header.e_machine:x}"
        raise FormatError(NAME, "e_machine", 18, found, "0x14 or 0x15")


def _part(elf: Elf, name: str) -> memoryview | None:
    section = elf.named(name)
    if section is None or not section.sh_size:
        return None
    if not section.is_loaded:
        at = section.sh_offset
        found = f"{name} of type 0x{section.sh_type:x}, flags 0x{section.sh_flags:x}"
        raise FormatError(NAME, "section", at, found, "one with bytes that is loaded")
    return elf.content_of(section)
