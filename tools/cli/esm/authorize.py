"""pef esm authorize: a lockbox for a machine's key."""

from __future__ import annotations

import argparse
from typing import Final

from pefstack.tools.cli.esm.options import (
    add_blob,
    add_comment,
    add_public_key,
    add_secret_key,
    add_seed,
    add_writing,
    opened,
    save,
    stream_of,
)

_EPILOG: Final = """
The real ultravisor opens `lockbox-1` and no other: several real machines need a blob
each. This project's firmware takes the lockbox of its machine's key.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = _EPILOG
    add_blob(parser)
    add_public_key(parser, "the machine's key")
    add_secret_key(parser)
    add_comment(parser)
    add_writing(parser)
    add_seed(parser)


def run(options: argparse.Namespace) -> int:
    """The next lockbox."""
    from pefstack.tools.esm.blob_edit import authorize
    from pefstack.tools.esm.keys import read_public_key

    key = read_public_key(options.public_key)
    file, master = opened(options)
    blob = authorize(file.blob, key, master, stream_of(options), options.comment)
    done = f"{blob.lockboxes[0].name} for key {key.fingerprint.hex()}"
    return save(options, file, blob, done)
