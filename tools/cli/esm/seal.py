"""pef esm seal: sealed data for one machine, in a file of its own."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Final

from pefstack.tools.cli.app import YES
from pefstack.tools.cli.operand_sealing import add_sealing, slot_of
from pefstack.tools.files import write_bytes
from pefstack.tools.operands.showing import slot_line, slot_plain

_EPILOG: Final = """
The file has the 2048 bytes of a slot. Who has an image puts it in without the seed:
`pef esm add IMAGE --slot FILE`. Only the machine's TPM can open it.

example:
  pef esm seal --storage-key key.pub --pcr6 $VALUE --seed-file vm.seed -o machine.slot
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = _EPILOG
    add_sealing(parser, slot_file=False)
    text = "where to write the slot"
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", required=True, help=text
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(options: argparse.Namespace) -> int:
    """Write the slot."""
    slot, _ = slot_of(options)
    write_bytes(options.output, slot.to_bytes())
    print(json.dumps(slot_plain(slot)) if options.json else slot_line(slot))
    return YES
