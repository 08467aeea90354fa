"""An image on the command line whose operand is changed: read, write, say."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from pefstack.images.codec import Buffer
from pefstack.tools.cli.app import YES
from pefstack.tools.cli.option_types import number
from pefstack.tools.files import read_bytes, rewrite_bytes
from pefstack.tools.operands.authorising import Chosen, operand_in
from pefstack.tools.operands.showing import slot_line, slot_plain

Change = Callable[[Buffer], tuple[bytes, int]]
"""From an image the changed one, and the number of the slot."""


def add_image(parser: argparse.ArgumentParser) -> None:
    """Declare the image and where it goes."""
    text = "initramfs, zImage, or an operand; changed in place"
    parser.add_argument("image", type=Path, metavar="IMAGE", help=text)
    text = "write the changed image there instead"
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help=text)
    parser.add_argument("--json", action="store_true", help="one JSON object")


def add_choice(parser: argparse.ArgumentParser, *, required: bool) -> None:
    """Declare which slot is meant."""
    choice = parser.add_mutually_exclusive_group(required=required)
    text = "the slot of this machine: its id, or the start of it"
    choice.add_argument("--machine", type=_machine, metavar="ID", help=text)
    text = "the slot of this number, as `pef esm list` shows it"
    choice.add_argument("--number", type=number(range(64)), metavar="N", help=text)


def chosen(options: argparse.Namespace) -> Chosen:
    """The slot that is meant."""
    return Chosen(number=options.number, machine=options.machine or "")


def write_changed(options: argparse.Namespace, change: Change) -> int:
    """Change the image, write it atomically, show the slot."""
    image, at = change(read_bytes(options.image))
    slot = operand_in(image).slots[at]
    rewrite_bytes(options.output or options.image, image)
    if options.json:
        print(json.dumps({"number": at, **slot_plain(slot)}))
    else:
        print(f"slot {at:<3} {slot_line(slot)}")
    return YES


def _machine(text: str) -> str:
    digits = text.lower().removeprefix("0x")
    if not 4 <= len(digits) <= 64 or set(digits) - set("0123456789abcdef"):
        right = "4 to 64 hex digits"
        raise argparse.ArgumentTypeError(f"found {text!r}, expected {right}")
    return digits
