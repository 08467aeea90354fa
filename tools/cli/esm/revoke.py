"""pef esm revoke: take a key's lockbox away."""

from __future__ import annotations

import argparse
from typing import Final

from pefstack.tools.cli.esm.options import (
    add_blob,
    add_public_key,
    add_writing,
    note,
    save,
)

_EPILOG: Final = """
The master key stays the same. Whoever kept the blob as it was, or the master key, opens
what is in it, and what is added later too: make a new blob to shut somebody out.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = _EPILOG
    add_blob(parser)
    add_public_key(parser, "the key that loses its lockbox")
    parser.add_argument(
        "--last", action="store_true", help="also the last lockbox of a machine"
    )
    add_writing(parser)


def run(options: argparse.Namespace) -> int:
    """Without secrets: whoever has the file can do that."""
    from pefstack.images.esm_lockbox import FIRST
    from pefstack.tools.esm.blob_edit import revoke
    from pefstack.tools.esm.blob_file import read_blob_file
    from pefstack.tools.esm.keys import read_public_key

    key = read_public_key(options.public_key)
    file = read_blob_file(options.blob)
    blob = revoke(file.blob, key, last=options.last)
    gone = [each.name for each in file.blob.lockboxes if each not in blob.lockboxes]
    if FIRST in gone:
        note(f"{FIRST} is gone, and the real ultravisor opens no other")
    return save(options, file, blob, f"{', '.join(gone)} is gone")
