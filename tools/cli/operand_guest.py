"""The options that name the parts of a guest."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path

from pefstack.images.codec import Buffer
from pefstack.tools.errors import UsageError
from pefstack.tools.files import map_bytes, read_bytes
from pefstack.tools.guest_parts import GuestParts, initramfs_rest, kernel_parts


def add_guest(parser: argparse.ArgumentParser) -> None:
    """Declare them."""
    text = "vmlinux, zImage, or a flat image"
    parser.add_argument("--kernel", type=Path, metavar="FILE", help=text)
    text = "initramfs, as it is handed to the guest; a zImage may bring its own"
    parser.add_argument("--initrd", type=Path, metavar="FILE", help=text)
    text = "command line of the kernel, every blank counts; a zImage may bring its own"
    parser.add_argument("--append", metavar="TEXT", help=text)
    text = "RTAS text; without it the 20 bytes that all known guests have"
    parser.add_argument("--rtas", type=Path, metavar="FILE", help=text)


def guest_of(options: argparse.Namespace) -> GuestParts:
    """What the files hold; an initramfs without the archive of an operand.

    Raises `UsageError` for files that can't be read, for what the zImage would not use
    since it has its own, and as `kernel_parts`.
    """
    guest = GuestParts()
    if options.kernel is not None:
        guest = kernel_parts(map_bytes(options.kernel))
    if options.initrd is not None:
        _refuse_second("--initrd", guest.initramfs)
        guest = replace(guest, initramfs=initramfs_rest(read_bytes(options.initrd)))
    if options.append is not None:
        _refuse_second("--append", guest.command_line)
        guest = replace(guest, command_line=os.fsencode(options.append))
    if options.rtas is not None:
        guest = replace(guest, rtas=read_bytes(options.rtas))
    return guest


def _refuse_second(option: str, own: Buffer | None) -> None:
    """The boot wrapper prefers what it was linked with (esm.md 6.1)."""
    if own is not None:
        raise UsageError(f"{option}: not used by this zImage, which has one of its own")
