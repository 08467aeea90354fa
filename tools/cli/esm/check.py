"""pef esm check: whether an operand is good, with the seed or without."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

from pefstack.images.codec import Buffer
from pefstack.images.esm_operand_keys import SealedData
from pefstack.tools.cli.app import NO, YES
from pefstack.tools.cli.operand_guest import add_guest, guest_of
from pefstack.tools.cli.option_types import hex_bytes, number
from pefstack.tools.errors import UsageError
from pefstack.tools.esm_place import (
    IN_INITRAMFS,
    IN_ZIMAGE,
    EsmPlace,
    find_esm,
)
from pefstack.tools.files import map_bytes
from pefstack.tools.guest_parts import GuestParts, initramfs_rest, kernel_parts
from pefstack.tools.operands.checking import OK, Known, OperandCheck, check_operand
from pefstack.tools.operands.seed_file import read_seed
from pefstack.tools.style import clean, paint

_EPILOG: Final = """
Without the seed: all that needs no key, the slots of all machines. With it: the HMAC,
the table of blocks, the integrity block, the version, and the digests of those parts of
the guest that are given or are in the image. No secret is shown.

examples:
  pef esm check guest.img
  pef esm check guest.img --seed-file vm.seed --kernel vmlinux --append "$LINE" --json

exit codes: 0 good, 1 refused (the name is printed), 3 no operand in a broken image
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = _EPILOG
    text = "initramfs, zImage, or an operand"
    parser.add_argument("image", type=Path, metavar="IMAGE", help=text)
    text = "32 bytes: the seed that the slots give"
    parser.add_argument("--seed-file", type=Path, metavar="FILE", help=text)
    text = "oldest version that a machine starts, 0 by default"
    versions = number(range(1 << 32))
    parser.add_argument("--minimum-version", type=versions, metavar="N", help=text)
    text = "a machine that must have a slot: its id, 64 hex digits"
    parser.add_argument("--machine", type=hex_bytes(32), metavar="ID", help=text)
    add_guest(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(options: argparse.Namespace) -> int:
    """Print the verdict."""
    image = map_bytes(options.image)
    place = find_esm(image)
    known = _known(options, image, place)
    found = check_operand(place.bytes_of(image), known)
    if options.json:
        plain = {"form": place.form, "place": place.offset, **asdict(found)}
        print(json.dumps(plain, indent=2))
    else:
        for line in _lines(found, place):
            print(line)
    return YES if found.verdict == OK else NO


def _known(options: argparse.Namespace, image: Buffer, place: EsmPlace) -> Known:
    given = guest_of(options)
    if options.seed_file is None:
        parts = (given.kernel, given.initramfs, given.command_line, options.rtas)
        if options.minimum_version is not None or any(e is not None for e in parts):
            raise UsageError("--seed-file: missing; digests and version are under it")
        return Known(machine_id=options.machine, guest={})
    minimum = options.minimum_version or 0
    sealed = SealedData(seed=read_seed(options.seed_file), minimum_version=minimum)
    guest = _completed(given, image, place)
    return Known(machine_id=options.machine, sealed=sealed, guest=guest.measured())


def _completed(given: GuestParts, image: Buffer, place: EsmPlace) -> GuestParts:
    """With those parts that the image itself has; what is given goes before."""
    own = GuestParts()
    if place.form == IN_INITRAMFS:
        own = GuestParts(initramfs=memoryview(image)[place.rest :])
    elif place.form == IN_ZIMAGE:
        own = kernel_parts(image)
        if place.rest and own.initramfs is not None:
            own = replace(own, initramfs=initramfs_rest(own.initramfs))
    for name in ("kernel", "initramfs", "command_line"):
        if getattr(given, name) is None:
            given = replace(given, **{name: getattr(own, name)})
    return given


def _lines(found: OperandCheck, place: EsmPlace) -> Iterator[str]:
    where = f"{place.form}, operand at 0x{place.offset:x}"
    style = "good" if found.verdict == OK else "bad"
    yield f"{where}: {paint(found.verdict, style)}"
    if found.verdict != OK:
        yield f"  field      {clean(found.field)}, at 0x{found.offset:x}"
        yield f"  found      {clean(found.found)}"
        yield f"  expected   {clean(found.expected)}"
    for word, names in (("checked", found.checked), ("unchecked", found.unchecked)):
        if names:
            yield f"  {word:<10} {'; '.join(names)}"
