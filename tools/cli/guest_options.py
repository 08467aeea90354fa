"""Options for the machine's VM: short for settings of the machine file."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from pefstack.tools.errors import UsageError


def add_guest_options(parser: argparse.ArgumentParser) -> None:
    """--kernel, --initrd, --append, --zimage, --no-guest."""
    parser.add_argument(
        "--kernel",
        type=Path,
        metavar="FILE",
        help="the VM's kernel: a vmlinux, its flat image, or a zImage",
    )
    parser.add_argument(
        "--initrd",
        type=Path,
        metavar="FILE",
        help="the VM's initramfs, with its ESM operand or blob in front",
    )
    parser.add_argument("--append", metavar="TEXT", help="the VM's command line")
    parser.add_argument(
        "--zimage",
        type=Path,
        metavar="FILE",
        help="kernel, initramfs and operand in one file",
    )
    parser.add_argument(
        "--no-guest", action="store_true", help="no VM: the chain ends with OPAL"
    )


def guest_settings(options: argparse.Namespace) -> list[str]:
    """What they mean; `UsageError` for options that exclude each other."""
    chosen = [options.kernel, options.initrd, options.append, options.zimage]
    if all(each is None for each in chosen):
        return []
    if options.no_guest:
        raise UsageError("--no-guest goes with none of the VM's images")
    if options.zimage is not None and (options.kernel or options.initrd):
        raise UsageError("--zimage has its own kernel and initramfs")
    settings = ["machine.guest={}"]
    kernel = options.kernel or options.zimage
    if kernel is not None:
        settings.append(_file("guest-kernel", kernel))
    if options.initrd is not None:
        settings.append(_file("guest-initrd", options.initrd))
    if options.zimage is not None:
        settings.append('machine.guest-initrd.file=""')
    if options.append is not None:
        text = json.dumps(options.append, ensure_ascii=False)
        settings.append(f"machine.guest.command-line={text}")
    return settings


def _file(key: str, path: Path) -> str:
    return f"machine.{key}.file={json.dumps(str(path.absolute()))}"
