"""pef esm add: sealed data for one more machine, in a finished image."""

from __future__ import annotations

import argparse
from typing import Final

from pefstack.images.codec import Buffer
from pefstack.tools.cli.operand_image import add_image, write_changed
from pefstack.tools.cli.operand_sealing import add_sealing, slot_of
from pefstack.tools.operands.authorising import add_slot, check_seed

_EPILOG: Final = """
The first placeholder is taken, no other byte changes. The storage key's public area is
what `tpm2_readpublic -c 0x81800002 -o FILE` writes on the machine; a key whose policy
is not that of the index and the PCR is refused, and so is the seed of another image.

examples:
  pef esm add guest.img --storage-key key.pub --pcr6 $VALUE --seed-file vm.seed
  pef esm add guest.img --slot machine.slot          what `pef esm seal` made, no seed
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = _EPILOG
    add_image(parser)
    add_sealing(parser)


def run(options: argparse.Namespace) -> int:
    """Fill a placeholder."""
    slot, sealed = slot_of(options)

    def change(image: Buffer) -> tuple[bytes, int]:
        if sealed is not None:
            check_seed(image, sealed)
        return add_slot(image, slot)

    return write_changed(options, change)
