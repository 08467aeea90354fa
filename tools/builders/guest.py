"""Build a guest: kernel and initramfs, with what is sealed for the machine in them."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from pefstack.firmware.tpm_provision import Provisioned
from pefstack.hw.guest_spec import GuestImages
from pefstack.hw.mapping import SettingError
from pefstack.images.elf import Elf
from pefstack.images.elf_header import MAGIC as ELF_MAGIC
from pefstack.images.errors import FormatError
from pefstack.images.initramfs import blob_archive
from pefstack.images.zimage import is_zimage
from pefstack.images.zimage_build import build_zimage
from pefstack.tools.builders.guest_blob import Guest, blob_of
from pefstack.tools.builders.guest_content import initrd_file, kernel_file, wrapper_code
from pefstack.tools.builders.guest_spec import GuestImageSpec
from pefstack.tools.errors import UsageError
from pefstack.tools.guest_parts import GuestParts, kernel_parts
from pefstack.tools.operands.making import check_bare

_FILE_NAMES: Final = {"v2": "operand", "v1": "esmb.bin"}


def build_guest(spec: GuestImageSpec, machine: Provisioned | None) -> GuestImages:
    """The guest's files; ``machine`` is needed where something is sealed for it.

    Raises `SettingError` for what can't be built, `FormatError` for a kernel that is
    damaged.
    """
    kernel, initrd = kernel_file(spec.kernel), initrd_file(spec.initrd)
    try:
        check_bare(initrd)
        parts = _parts(kernel, initrd, spec)
        blob = b""
        if machine is not None and spec.is_sealed:
            blob = blob_of(Guest(spec=spec, parts=parts), machine)
        return _placed(spec, kernel, initrd, blob)
    except (UsageError, FormatError) as wrong:
        raise SettingError("image.guest", str(wrong)) from wrong


def _parts(kernel: bytes, initrd: bytes, spec: GuestImageSpec) -> GuestParts:
    """What is measured: of a zImage its own parts, where it has them."""
    parts = kernel_parts(kernel)
    if parts.initramfs is None:
        parts = replace(parts, initramfs=initrd)
    if parts.command_line is None:
        parts = replace(parts, command_line=spec.append.encode())
    return parts


def _placed(
    spec: GuestImageSpec, kernel: bytes, initrd: bytes, blob: bytes
) -> GuestImages:
    if spec.place == "zimage":
        return GuestImages(kernel=_zimage(kernel, initrd, blob))
    if blob:
        initrd = blob_archive(_FILE_NAMES[spec.format], blob) + initrd
    return GuestImages(kernel=kernel, initrd=initrd)


def _zimage(kernel: bytes, initrd: bytes, blob: bytes) -> bytes:
    """A zImage around the kernel, with initramfs and blob in it."""
    if kernel[: len(ELF_MAGIC)] != ELF_MAGIC or is_zimage(Elf.from_bytes(kernel)):
        raise SettingError(
            "image.guest.kernel", "expected a vmlinux to put into a zImage"
        )
    return build_zimage(wrapper_code(), kernel, initrd=initrd, esm_blob=blob)
