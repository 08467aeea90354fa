"""What the commands of `pef esm` have in common: options, keys, the blob's file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pefstack.tools.cli.app import YES
from pefstack.tools.files import rewrite_bytes
from pefstack.tools.style import clean

if TYPE_CHECKING:
    from pefstack.hw.tpm.crypto.stream import Stream
    from pefstack.images.esm_blob import EsmBlob
    from pefstack.tools.esm.blob_file import BlobFile


def add_blob(parser: argparse.ArgumentParser, *, text: str = "the blob") -> None:
    """-b, as svm-tool has it."""
    parser.add_argument(
        "-b", "--blob", type=Path, required=True, metavar="FILE", help=text
    )


def add_public_key(parser: argparse.ArgumentParser, text: str) -> None:
    """-p."""
    parser.add_argument(
        "-p", "--public-key", type=Path, required=True, metavar="PEM", help=text
    )


def add_secret_key(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """-s, and where the key's password comes from."""
    parser.add_argument(
        "-s",
        "--secret-key",
        type=Path,
        required=required,
        metavar="PEM",
        help="a key that opens one of the lockboxes, usually the owner's",
    )
    add_password(parser)


def add_password(parser: argparse.ArgumentParser) -> None:
    """--password-file."""
    parser.add_argument(
        "--password-file",
        type=Path,
        metavar="FILE",
        help="the secret key's password is its first line; - is standard input",
    )


def add_comment(parser: argparse.ArgumentParser) -> None:
    """-c."""
    parser.add_argument(
        "-c",
        "--comment",
        default="",
        metavar="TEXT",
        help="a line that everybody can read and change",
    )


def add_writing(parser: argparse.ArgumentParser) -> None:
    """-n and -v: of all commands that write."""
    parser.add_argument(
        "-n", "--dry-run", action="store_true", help="do all of it, but write nothing"
    )
    add_verbose(parser)


def add_verbose(
    parser: argparse.ArgumentParser, *, text: str = "say what was done"
) -> None:
    """-v, as often as one likes."""
    parser.add_argument("-v", "--verbose", action="count", default=0, help=text)


def add_seed(parser: argparse.ArgumentParser) -> None:
    """--seed."""
    parser.add_argument(
        "--seed", help="all randomness follows from it: for tests, it protects nothing"
    )


def stream_of(options: argparse.Namespace) -> Stream:
    """What gives the randomness of this call."""
    from pefstack.tools.esm.randomness import stream_of

    return stream_of(options.seed)


def master_key_of(options: argparse.Namespace, blob: EsmBlob) -> bytes:
    """What the secret key that was given opens in this blob."""
    from pefstack.tools.esm.keys import master_key, read_secret_key
    from pefstack.tools.esm.password import password_of

    password = password_of(options.password_file)
    return master_key(blob, read_secret_key(options.secret_key, password))


def opened(options: argparse.Namespace) -> tuple[BlobFile, bytes]:
    """The blob's file and the master key."""
    from pefstack.tools.esm.blob_file import read_blob_file

    file = read_blob_file(options.blob)
    return file, master_key_of(options, file.blob)


def save(options: argparse.Namespace, file: BlobFile, blob: EsmBlob, done: str) -> int:
    """Write the changed blob to where it came from."""
    return write(options, options.blob, file.with_blob(blob), done)


def write(options: argparse.Namespace, path: Path, raw: bytes, done: str) -> int:
    """Write a file unless it is a dry run; one that is there keeps its permissions."""
    if not options.dry_run:
        rewrite_bytes(path, raw)
    if options.verbose:
        would = "would write: " if options.dry_run else ""
        note(f"{would}{done}; {path}, {len(raw)} bytes")
    return YES


def note(text: str) -> None:
    """A word that is no result, to standard error."""
    print(f"pef: {clean(text)}", file=sys.stderr)
