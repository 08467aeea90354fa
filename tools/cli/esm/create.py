"""pef esm create: a blob with the owner's lockbox alone."""

from __future__ import annotations

import argparse
from typing import Final

from pefstack.tools.cli.esm.options import (
    add_blob,
    add_comment,
    add_public_key,
    add_seed,
    add_writing,
    stream_of,
    write,
)

_EPILOG: Final = """
The blob is not finished: `pef esm digest` puts the digests of a guest into it, and
`pef esm authorize` a machine.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = _EPILOG
    add_blob(parser, text="where to write it")
    add_public_key(parser, "the owner's key")
    add_comment(parser)
    add_writing(parser)
    add_seed(parser)


def run(options: argparse.Namespace) -> int:
    """A new master key, which nobody gets to see."""
    from pefstack.tools.esm.blob_edit import new_blob
    from pefstack.tools.esm.keys import read_public_key

    owner = read_public_key(options.public_key)
    blob, _ = new_blob(owner, stream_of(options), options.comment)
    done = f"a blob of key {owner.fingerprint.hex()}"
    return write(options, options.blob, blob.to_bytes(), done)
