"""pef esm replace: a machine's sealed data made anew, in a finished image."""

from __future__ import annotations

import argparse
from typing import Final

from pefstack.images.codec import Buffer
from pefstack.tools.cli.operand_image import (
    add_choice,
    add_image,
    chosen,
    write_changed,
)
from pefstack.tools.cli.operand_sealing import add_sealing, slot_of
from pefstack.tools.operands.authorising import Chosen, check_seed, replace_slot

_EPILOG: Final = """
Without --machine or --number the slot of the same machine is replaced. New provisioning
gives a machine another storage key, and so another id: then say which slot is the old.

example:
  pef esm replace guest.img --storage-key new.pub --pcr6 $VALUE --seed-file vm.seed \\
      --machine 5e5262e2
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = _EPILOG
    add_image(parser)
    add_choice(parser, required=False)
    add_sealing(parser)


def run(options: argparse.Namespace) -> int:
    """Fill a slot that is in use."""
    slot, sealed = slot_of(options)
    which = chosen(options)
    if which == Chosen():
        which = Chosen(machine=slot.machine_id.hex())

    def change(image: Buffer) -> tuple[bytes, int]:
        if sealed is not None:
            check_seed(image, sealed)
        return replace_slot(image, slot, which)

    return write_changed(options, change)
