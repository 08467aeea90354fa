"""pef build: build the images that a machine file describes."""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Final

from pefstack.tools.built import built_files, write_folder
from pefstack.tools.cli.app import YES
from pefstack.tools.machine_file import find, load

_EPILOG: Final = """
Writes flash.bin, seeprom.bin, measurement-seeprom.bin and a machine.toml that names
them; with a guest also guest-kernel.bin, guest-initrd.bin and tpm.state. `pef boot DIR`
boots the result. The same description gives the same bytes.

examples:
  pef build demo -o out
  pef build small -o out --set image.flash.partition.HBB.container.security-version=2
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    parser.add_argument("machine", metavar="MACHINE")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="DIR", help="where to"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a setting"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be written"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a file")


def run(options: argparse.Namespace) -> int:
    """Build, and print each file with its size and SHA-256."""
    path = find(options.machine)
    document = load(path, options.set)
    files = built_files(path, document)
    if not options.dry_run:
        write_folder(files, options.output)
    for name, raw in files.items():
        print(_line(options.output / name, raw, options))
    return YES


def _line(path: Path, raw: bytes | bytearray, options: argparse.Namespace) -> str:
    """One file: its digest and size, and whether it was written."""
    digest, written = hashlib.sha256(raw).hexdigest(), not options.dry_run
    if options.json:
        row = {"file": str(path), "size": len(raw), "sha256": digest}
        return json.dumps(row | {"written": written})
    return f"{'' if written else 'would write '}{digest}  {len(raw):>9}  {path}"
