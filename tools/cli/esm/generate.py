"""pef esm generate: a pair of RSA keys."""

from __future__ import annotations

import argparse
from pathlib import Path

from pefstack.tools.cli.app import YES
from pefstack.tools.cli.esm.options import add_password, add_public_key, add_writing


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_public_key(parser, "where to write the public half")
    parser.add_argument(
        "-s",
        "--secret-key",
        type=Path,
        required=True,
        metavar="PEM",
        help="where to write the secret half, readable for you alone",
    )
    add_password(parser)
    parser.add_argument(
        "--no-password", action="store_true", help="do not ask for one, have none"
    )
    parser.add_argument(
        "--force", action="store_true", help="over files that are there"
    )
    add_writing(parser)


def run(options: argparse.Namespace) -> int:
    """An RSA key of 2048 bits; the password as asked for, or typed twice."""
    from pefstack.tools.cli.esm.options import note
    from pefstack.tools.esm.keys import generate_pair
    from pefstack.tools.files import write_bytes, write_secret

    _check_places(options)
    public, secret = generate_pair(_password(options))
    if not options.dry_run:
        write_secret(options.secret_key, secret)
        write_bytes(options.public_key, public)
    if options.verbose:
        from pefstack.images.esm_lockbox import fingerprint_of_pem

        note(f"key {fingerprint_of_pem(public).hex()}")
    return YES


def _check_places(options: argparse.Namespace) -> None:
    from pefstack.tools.errors import UsageError

    places = (options.secret_key, options.public_key)
    if len({each.resolve() for each in places}) < len(places):
        raise UsageError(f"{places[0]}: the two halves need two files")
    for path in places:
        if path.is_file() and not options.force:
            raise UsageError(f"{path}: is there already; --force loses what is in it")


def _password(options: argparse.Namespace) -> bytes:
    from pefstack.tools.errors import UsageError
    from pefstack.tools.esm.password import asked_twice, password_in

    if options.no_password:
        if options.password_file is not None:
            raise UsageError("--no-password and --password-file exclude each other")
        return b""
    if options.password_file is not None:
        return password_in(options.password_file)
    return asked_twice(options.secret_key)
