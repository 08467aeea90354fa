"""pef esm digest: a guest's digests into the blob, or compared with the blob's."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Final

from pefstack.images.esm_digests import EsmDigests
from pefstack.tools.cli.app import NO, YES
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
from pefstack.tools.errors import UsageError

_EPILOG: Final = """
The digest of RTAS is that of the 20 bytes of code that all known guests have. An
archive with a blob in front of the initramfs is left out.

exit codes: 0 done, or nothing differs; 1 with --check, the parts that are named differ;
2 wrong use; 3 malformed input
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = _EPILOG
    add_blob(parser, text="the blob, with --check also the image that it is in")
    add_secret_key(parser)
    parser.add_argument(
        "-a",
        "--append",
        required=True,
        metavar="TEXT",
        help="command line; blanks count",
    )
    for letter, name, text in (
        ("-i", "--initrd", "initramfs"),
        ("-k", "--kernel", "vmlinux or zImage"),
    ):
        parser.add_argument(
            letter, name, type=Path, required=True, metavar="FILE", help=text
        )
    add_comment(parser)
    parser.add_argument(
        "--check", action="store_true", help="compare with the blob's, write nothing"
    )
    parser.add_argument(
        "--replace", action="store_true", help="digests that are there go"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")
    add_writing(parser)
    add_seed(parser)


def run(options: argparse.Namespace) -> int:
    """Compare, or put them in; with --json the digests are printed."""
    from pefstack.tools.esm.blob_edit import put_digests
    from pefstack.tools.esm.guest_digests import guest_digests
    from pefstack.tools.files import map_bytes

    kernel, initramfs = map_bytes(options.kernel), map_bytes(options.initrd)
    digests = guest_digests(kernel, initramfs, options.append)
    file, key = opened(options)
    if options.check:
        return _compared(options, file.blob.open_digests(key), digests)
    if file.blob.digests is not None and not options.replace:
        raise UsageError(f"{options.blob}: has digests; use --replace or --check")
    blob = put_digests(file.blob, digests, key, stream_of(options), options.comment)
    if options.json:
        print(json.dumps(plain(digests), indent=2))
    return save(options, file, blob, "digests put in")


def _compared(
    options: argparse.Namespace, wanted: EsmDigests, found: EsmDigests
) -> int:
    """Which parts differ; the answer is the exit code."""
    from pefstack.tools.esm.guest_digests import ALL, differing

    wrong = differing(wanted, found)
    if options.json:
        both = {"blob": plain(wanted), "guest": plain(found)}
        print(json.dumps({"differing": list(wrong), **both}, indent=2))
    else:
        for name in ALL:
            print(f"{'differs' if name in wrong else 'same':<8} {name}")
    return NO if wrong else YES


def plain(digests: EsmDigests) -> dict[str, str | int]:
    """By their names in the digest tree, in hex; the size as a number."""
    return {
        "rtas": digests.rtas.hex(),
        "kernel": digests.kernel.hex(),
        "kernel-size": digests.kernel_size,
        "initrd": digests.initrd.hex(),
        "bootargs": digests.bootargs.hex(),
    }
