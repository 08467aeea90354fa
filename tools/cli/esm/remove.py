"""pef esm remove: a machine's sealed data taken out of a finished image."""

from __future__ import annotations

import argparse
from typing import Final

from pefstack.tools.cli.operand_image import (
    add_choice,
    add_image,
    chosen,
    write_changed,
)
from pefstack.tools.operands.authorising import remove_chosen

_EPILOG: Final = """
The slot becomes a placeholder, no other byte changes. Who kept the sealed data can put
it back: only another seed, or another floor, index or PCR, ends what was authorised.

example:
  pef esm remove guest.img --machine 5e5262e2
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = _EPILOG
    add_image(parser)
    add_choice(parser, required=True)


def run(options: argparse.Namespace) -> int:
    """Empty a slot."""
    which = chosen(options)
    return write_changed(options, lambda image: remove_chosen(image, which))
