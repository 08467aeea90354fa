"""pef esm extract: decrypt an attached file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

from pefstack.tools.cli.app import YES
from pefstack.tools.cli.esm.options import add_blob, add_secret_key, opened

_EPILOG: Final = """
A file is written for its owner alone. Without -o the content goes to standard output,
but not to a terminal: there `-o -` asks for it.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = _EPILOG
    add_blob(parser, text="the blob, or the image that it is in")
    parser.add_argument(
        "-f", "--file", required=True, metavar="NAME", help="attachment's name"
    )
    add_secret_key(parser)
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="where to; - is standard output"
    )
    parser.add_argument(
        "-n", "--dry-run", action="store_true", help="do all of it, but write nothing"
    )


def run(options: argparse.Namespace) -> int:
    """Nothing is written before the tag was checked."""
    from pefstack.tools.errors import UsageError
    from pefstack.tools.esm.blob_edit import open_attachment
    from pefstack.tools.files import write_secret

    if options.output is None and sys.stdout.isatty():
        raise UsageError("a secret is not shown unasked: use -o FILE, or -o -")
    file, key = opened(options)
    content = open_attachment(file.blob, options.file, key)
    if options.dry_run:
        return YES
    if options.output in (None, "-"):
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    else:
        write_secret(Path(options.output), content)
    return YES
