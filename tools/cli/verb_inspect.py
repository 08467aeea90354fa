"""pef inspect: say what every byte of a file is."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Final

from pefstack.tools.cli.app import YES
from pefstack.tools.files import map_bytes
from pefstack.tools.inspection.inspect_file import Inspection, inspect_bytes
from pefstack.tools.style import clean, paint

_EPILOG: Final = """
Knows secure boot containers (version 1, also as they lie in flash behind ECC), flash
images with an FFS partition table, SEEPROM images, TPM event logs, flattened device
trees, the HDAT structures that Hostboot hands over, ESM blobs and ESM operands (of
these what needs no key), initramfs images (the first cpio archive, the ESM blob in it),
vmlinux and zImage (the flat image that is hashed).

examples:
  pef inspect flash.bin
  pef inspect boot.log --json | jq .pcrs

exit codes: 0 understood, 2 wrong use, 3 malformed (format, field, offset are printed)
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(options: argparse.Namespace) -> int:
    """Print the regions in the order of the file."""
    found = inspect_bytes(map_bytes(options.file))
    if options.json:
        print(json.dumps(asdict(found), indent=2))
    else:
        _text(found)
    return YES


def _text(found: Inspection) -> None:
    print(paint(f"{found.format}, 0x{found.size:x} bytes", "strong"))
    for each in found.regions:
        line = f"0x{each.offset:08x} 0x{each.size:08x} {clean(each.name):<28}"
        print(f"{line} {clean(each.value)}".rstrip())
    for bank, pcrs in found.pcrs.items():
        for pcr, value in pcrs.items():
            print(f"replayed {bank} PCR{pcr:<3} {value}")
