"""pef esm svm-add: a blob in front of an initramfs, as `svm-tool svm add`."""

from __future__ import annotations

import argparse
from pathlib import Path

from pefstack.tools.cli.esm.options import add_blob, add_writing, write


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "-i", "--initrd", type=Path, required=True, metavar="FILE", help="initramfs"
    )
    add_blob(parser, text="the blob, or an operand")
    parser.add_argument(
        "-f", "--file", type=Path, required=True, metavar="FILE", help="where to write"
    )
    parser.add_argument(
        "--replace", action="store_true", help="a blob that is in front goes"
    )
    add_writing(parser)


def run(options: argparse.Namespace) -> int:
    """The blob's file keeps its name, in the folder opt/ibm/pef."""
    from pefstack.tools.errors import UsageError
    from pefstack.tools.esm.blob_file import has_blob, in_front
    from pefstack.tools.files import map_bytes

    initramfs = map_bytes(options.initrd)
    if has_blob(initramfs) and not options.replace:
        raise UsageError(f"{options.initrd}: has a blob in front; use --replace")
    blob = _checked(options.blob)
    raw = in_front(blob, options.blob.name, initramfs)
    return write(options, options.file, raw, f"{options.blob.name} in front")


def _checked(path: Path) -> bytes:
    """The bytes of a blob that has digests, or of an operand."""
    from pefstack.images.esm_blob import EsmBlob
    from pefstack.images.initramfs import OPERAND_MAGIC
    from pefstack.tools.files import read_bytes

    raw = read_bytes(path)
    if raw.startswith(OPERAND_MAGIC):
        from pefstack.images.esm_operand import EsmOperand

        EsmOperand.from_bytes(raw)
    else:
        EsmBlob.from_bytes(raw)
    return raw
