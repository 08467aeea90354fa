"""pef esm attach: encrypt a file into the blob."""

from __future__ import annotations

import argparse
from pathlib import Path

from pefstack.tools.cli.esm.options import (
    add_blob,
    add_comment,
    add_secret_key,
    add_seed,
    add_writing,
    opened,
    save,
    stream_of,
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_blob(parser)
    parser.add_argument(
        "-f", "--file", type=Path, required=True, metavar="FILE", help="what to attach"
    )
    parser.add_argument(
        "-r", "--name", metavar="NAME", help="its name in the blob, else that of FILE"
    )
    add_secret_key(parser)
    add_comment(parser)
    add_writing(parser)
    add_seed(parser)


def run(options: argparse.Namespace) -> int:
    """The guest gets it by its name, once it is secure."""
    from pefstack.tools.esm.blob_edit import attach
    from pefstack.tools.files import read_bytes

    name = options.name or options.file.name
    content = read_bytes(options.file)
    file, key = opened(options)
    stream = stream_of(options)
    blob = attach(file.blob, (name, content), key, stream, options.comment)
    return save(options, file, blob, f"{name} attached")
