"""pef esm detach: take an attached file out of the blob."""

from __future__ import annotations

import argparse

from pefstack.tools.cli.esm.options import add_blob, add_writing, save


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_blob(parser)
    parser.add_argument(
        "-f", "--file", required=True, metavar="NAME", help="attachment's name"
    )
    add_writing(parser)


def run(options: argparse.Namespace) -> int:
    """Without secrets: whoever has the file can do that."""
    from pefstack.tools.esm.blob_edit import detach
    from pefstack.tools.esm.blob_file import read_blob_file

    file = read_blob_file(options.blob)
    blob = detach(file.blob, options.file)
    return save(options, file, blob, f"{options.file} detached")
