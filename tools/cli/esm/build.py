"""pef esm build: an operand for a guest, alone or in the guest's image."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from pefstack.images.codec import Buffer
from pefstack.images.esm_integrity import TYPE_WORDS
from pefstack.images.esm_operand import EsmOperand
from pefstack.images.esm_operand_open import Secret
from pefstack.images.esm_operand_payload import PayloadHeader
from pefstack.images.esm_operand_slot import MAX_SLOT_COUNT
from pefstack.images.esm_operand_toc import TYPE_CUSTOMER_DATA, TYPE_PASSPHRASE
from pefstack.tools.cli.app import YES
from pefstack.tools.cli.operand_guest import add_guest, guest_of
from pefstack.tools.cli.option_types import hex_bytes, number
from pefstack.tools.errors import UsageError
from pefstack.tools.esm.randomness import SystemStream
from pefstack.tools.files import map_bytes, read_bytes, write_bytes, write_new_secret
from pefstack.tools.guest_parts import GuestParts
from pefstack.tools.operands.making import (
    DEFAULT_SLOTS,
    check_bare,
    make_operand,
    operand_in_front,
    operand_in_zimage,
)
from pefstack.tools.operands.seed_file import new_seed, read_seed

NONCE_SIZE: Final = 16
ROOT_DISK: Final = "rootd"
_EPILOG: Final = """
All slots are placeholders: `pef esm add` authorises machines afterwards. The files of
passphrase and secrets are taken byte by byte, a newline at their end too. One seed may
serve all builds of an image; the same seed, nonce and inputs give the same bytes.

examples:
  pef esm build --kernel vmlinux --initrd initramfs.img --append "$LINE" \\
      --passphrase-file disk.key --new-seed --seed-file vm.seed --image guest.img
  pef esm build --kernel zImage --seed-file vm.seed --zimage zImage.secure
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = _EPILOG
    add_guest(parser)
    _add_secrets(parser)
    text = "image version, raised when older images must no longer start; 0 by default"
    versions = number(range(1 << 32))
    parser.add_argument(
        "--security-version", type=versions, default=0, metavar="N", help=text
    )
    text = f"slots for machines, {DEFAULT_SLOTS} by default, at most {MAX_SLOT_COUNT}"
    counts = number(range(1, MAX_SLOT_COUNT + 1))
    parser.add_argument(
        "--slots", type=counts, default=DEFAULT_SLOTS, metavar="N", help=text
    )
    text = "leave versions and digests readable; they are authentic all the same"
    parser.add_argument("--clear-integrity", action="store_true", help=text)
    _add_identity(parser)
    _add_outputs(parser)


def _add_secrets(parser: argparse.ArgumentParser) -> None:
    text = f"passphrase of the root disk, served as {ROOT_DISK}"
    parser.add_argument("--passphrase-file", type=Path, metavar="FILE", help=text)
    text = "a file that the guest gets by this name; may stand more than once"
    parser.add_argument(
        "--secret", action="append", default=[], metavar="NAME=FILE", help=text
    )


def _add_identity(parser: argparse.ArgumentParser) -> None:
    text = "32 bytes that all keys follow from"
    parser.add_argument(
        "--seed-file", type=Path, metavar="FILE", required=True, help=text
    )
    text = "make the seed and its file, readable for its owner alone"
    parser.add_argument("--new-seed", action="store_true", help=text)
    text = "identity of the image, 32 hex digits; without it, it follows from the seed"
    parser.add_argument("--svm-id", type=hex_bytes(16), metavar="HEX", help=text)
    text = "32 hex digits, never twice for different contents; random without it"
    parser.add_argument(
        "--build-nonce", type=hex_bytes(NONCE_SIZE), metavar="HEX", help=text
    )


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    text = "write the operand alone"
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help=text)
    text = "write the initramfs with the operand in front"
    parser.add_argument("--image", type=Path, metavar="FILE", help=text)
    text = "write the zImage with the operand in its section .kernel:esm_blob"
    parser.add_argument("--zimage", type=Path, metavar="FILE", help=text)
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(options: argparse.Namespace) -> int:
    """Write what was asked for; the seed first, and nothing if anything is wrong."""
    if not (options.output or options.image or options.zimage):
        raise UsageError("nothing to write: say --image, --zimage or --output")
    guest = _guest(options)
    seed = (new_seed if options.new_seed else read_seed)(options.seed_file)
    nonce = options.build_nonce or SystemStream().random_bytes(NONCE_SIZE)
    operand = make_operand(
        guest,
        seed=seed,
        build_nonce=nonce,
        svm_id=options.svm_id,
        security_version=options.security_version,
        secrets=[*_secrets(options)],
        slot_count=options.slots,
        clear_integrity=options.clear_integrity,
    )
    files = [*_files(options, guest, operand)]
    if options.new_seed:
        write_new_secret(options.seed_file, seed)
    for path, content in files:
        write_bytes(path, content)
    _show(options, guest, operand)
    return YES


def _guest(options: argparse.Namespace) -> GuestParts:
    if options.kernel is None:
        raise UsageError("--kernel: missing; an operand is made for one")
    if options.initrd is not None:
        check_bare(read_bytes(options.initrd))
    return guest_of(options)


def _secrets(options: argparse.Namespace) -> Iterator[Secret]:
    if options.passphrase_file is not None:
        content = read_bytes(options.passphrase_file)
        yield Secret(type=TYPE_PASSPHRASE, name=ROOT_DISK, content=content)
    for each in options.secret:
        name, equals, file = each.partition("=")
        if not (name and equals and file):
            raise UsageError(f"--secret {each}: expected NAME=FILE")
        content = read_bytes(Path(file))
        yield Secret(type=TYPE_CUSTOMER_DATA, name=name, content=content)


def _files(
    options: argparse.Namespace, guest: GuestParts, operand: bytes
) -> Iterator[tuple[Path, Buffer]]:
    if options.output is not None:
        yield options.output, operand
    if options.image is not None:
        yield options.image, operand_in_front(guest.initramfs or b"", operand)
    if options.zimage is not None:
        zimage = map_bytes(options.kernel)
        yield options.zimage, operand_in_zimage(zimage, operand)


def _show(options: argparse.Namespace, guest: GuestParts, operand: bytes) -> None:
    parsed = EsmOperand.from_bytes(operand)
    header = PayloadHeader.from_prefix(parsed.payload)
    sizes = {
        TYPE_WORDS[kind]: each.length for kind, each in sorted(guest.measured().items())
    }
    plain: dict[str, Any] = {
        "size": len(operand),
        "slots": len(parsed.slots),
        "svm_id": header.svm_id.hex(),
        "build_nonce": header.build_nonce.hex(),
        "security_version": options.security_version,
        "measured": sizes,
        "secrets": header.block_count - 1,
    }
    if options.json:
        print(json.dumps(plain, indent=2))
        return
    print(f"operand 0x{len(operand):x} bytes, {plain['slots']} free slots")
    print(f"image   {plain['svm_id']}, build {plain['build_nonce']}")
    measured = ", ".join(f"{name} 0x{size:x} bytes" for name, size in sizes.items())
    print(f"measured {measured}")
    print(f"version {plain['security_version']}, {plain['secrets']} secrets")
