"""A guest's kernel and initramfs: of files, or made up around filler."""

from __future__ import annotations

from typing import Final

from pefstack.hw.mapping import SettingError
from pefstack.images.cpio import MODE_DIRECTORY, CpioEntry, write_archive
from pefstack.images.elf_build import NewSection, build_elf
from pefstack.tools.builders.content import content
from pefstack.tools.builders.content_spec import ContentSpec

LINK_ADDRESS: Final = 0xC000_0000_0000_0000
MIN_FILL: Final = 0x1000
BSS_SIZE: Final = 0x8000
WRAPPER_SIZE: Final = 0x1000
MODE_PROGRAM: Final = 0o100755
_PAGE: Final = 0x1000
_STAY: Final = bytes.fromhex("00000048")  # b . in little-endian: the code is filler
_INIT: Final = b"#!/bin/sh\nexec /sbin/init\n"


def kernel_file(spec: ContentSpec) -> bytes:
    """The bytes of a file; of ``fill`` a vmlinux of so much code and data.

    Raises `SettingError` for a text, and for filler of less than 4 KiB.
    """
    if not _is_filler(spec, "kernel"):
        return content(spec, "guest-kernel")
    filler = content(spec, "guest-kernel")
    code = _half(len(filler))
    text = NewSection(name=".text", data=_STAY + filler[len(_STAY) : code])
    data = NewSection(name=".data", data=filler[code:], alignment=_PAGE)
    bss = NewSection(name=".bss", zeros=BSS_SIZE, alignment=_PAGE)
    return build_elf((text, data, bss), address=LINK_ADDRESS)


def initrd_file(spec: ContentSpec | None) -> bytes:
    """The bytes of a file; of ``fill`` an archive with so much data in a file."""
    if spec is None:
        return b""
    if not _is_filler(spec, "initrd"):
        return content(spec, "guest-initrd")
    folders = [
        CpioEntry(name=name, mode=MODE_DIRECTORY, nlink=2)
        for name in (".", "etc", "usr")
    ]
    files = [
        CpioEntry(name="init", data=_INIT, mode=MODE_PROGRAM),
        CpioEntry(name="etc/hostname", data=b"svm\n"),
        CpioEntry(name="usr/data", data=content(spec, "guest-initrd")),
    ]
    return write_archive([*folders, *files])


def wrapper_code() -> bytes:
    """What stands where a zImage has the code of its wrapper."""
    filler = content(ContentSpec(fill=WRAPPER_SIZE), "guest-wrapper")
    return _STAY + filler[len(_STAY) :]


def _half(size: int) -> int:
    """Half of it in whole words, so that code is followed by a gap before data."""
    return size // 2 & ~3


def _is_filler(spec: ContentSpec, key: str) -> bool:
    if spec.file:
        return False
    if spec.fill < MIN_FILL:
        found = "a text" if spec.text else f"fill 0x{spec.fill:x}"
        right = f"a file, or fill of at least 0x{MIN_FILL:x}"
        raise SettingError(f"image.guest.{key}", f"found {found}, expected {right}")
    if spec.xz:
        raise SettingError(f"image.guest.{key}.xz", "found true, but only files are")
    return True
