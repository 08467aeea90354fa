"""pef esm list: the slots of an operand, whose they are, which are free."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, Final

from pefstack.images.esm_operand import EsmOperand
from pefstack.images.esm_operand_edit import slot_range
from pefstack.images.esm_operand_payload import PayloadHeader
from pefstack.tools.cli.app import YES
from pefstack.tools.esm_place import find_esm, operand_at
from pefstack.tools.files import map_bytes
from pefstack.tools.operands.showing import slot_line, slot_plain
from pefstack.tools.style import paint

_EPILOG: Final = """
example:
  pef esm list guest.img --json | jq '.slots[] | select(.state == "free")'
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = _EPILOG
    text = "initramfs, zImage, or an operand"
    parser.add_argument("image", type=Path, metavar="IMAGE", help=text)
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(options: argparse.Namespace) -> int:
    """Print the slots in their order."""
    image = map_bytes(options.image)
    place = find_esm(image)
    operand = operand_at(image, place)
    if options.json:
        print(json.dumps(_plain(operand, place.form, place.offset), indent=2))
        return YES
    header = PayloadHeader.from_prefix(operand.payload)
    where = f"{place.form}, operand at 0x{place.offset:x}"
    print(paint(f"{where}: image {header.svm_id.hex()}", "strong"))
    for number, slot in enumerate(operand.slots):
        print(f"slot {number:<3} {slot_line(slot)}")
    return YES


def _plain(operand: EsmOperand, form: str, offset: int) -> dict[str, Any]:
    header = PayloadHeader.from_prefix(operand.payload)
    slots = [
        {
            "number": number,
            "offset": offset + slot_range(number).start,
            **slot_plain(slot),
        }
        for number, slot in enumerate(operand.slots)
    ]
    return {
        "form": form,
        "offset": offset,
        "size": slot_range(len(slots)).start + len(operand.payload),
        "svm_id": header.svm_id.hex(),
        "build_nonce": header.build_nonce.hex(),
        "slots": slots,
    }
