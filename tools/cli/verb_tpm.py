"""pef tpm: serve a TPM to other programs, or provision one."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pefstack.hw.tpm.codes import MAX_LOADED_OBJECTS
from pefstack.hw.tpm.engine import MAX_TRANSIENT_SLOTS
from pefstack.tools.cli import tpm_provision
from pefstack.tools.cli.app import YES
from pefstack.tools.cli.keeping import address_lines, described, serve
from pefstack.tools.cli.ports import add_ports, wanted_ports
from pefstack.tools.tpm_server.server import Address
from pefstack.tools.tpm_server.start import start_service

LOOPBACK: Final = "127.0.0.1"
_EPILOG: Final = """
nouns: serve, provision

examples:
  pef tpm serve --startup-clear                    both protocols, any free ports
  pef tpm serve --mssim 2321 --state tpm.state     what lasts is kept in the file
  pef tpm serve --swtpm 0 --seed x --json          ports as one JSON object
  pef tpm provision --state tpm.state --pcr6 HEX   the keys that guests are sealed to
"""
_SERVE_EPILOG: Final = """
Each protocol takes the port and the next one. The last lines are settings to paste
for tpm2-tools. Ctrl-C or SIGTERM ends it. Nobody is asked for a password: whoever
reaches the ports has the TPM, its power and its localities in hand.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeOptions:
    """The options of `pef tpm serve`; ``wanted`` has a port for each protocol."""

    wanted: dict[str, int]
    host: str
    state: Path | None
    seed: str | None
    startup_clear: bool
    transient_slots: int
    json: bool


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the nouns and their options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    nouns = parser.add_subparsers(dest="noun", required=True, metavar="NOUN")
    summary = "a TPM 2.0 for other programs, over TCP"
    noun = nouns.add_parser("serve", help=summary, description=summary)
    noun.formatter_class = argparse.RawDescriptionHelpFormatter
    noun.epilog = _SERVE_EPILOG
    add_ports(noun)
    noun.add_argument(
        "--host", default=LOOPBACK, help=f"address to listen on, {LOOPBACK} by default"
    )
    noun.add_argument(
        "--state", type=Path, metavar="FILE", help="keep there what lasts"
    )
    noun.add_argument("--seed", help="all randomness follows from it; else none does")
    noun.add_argument(
        "--startup-clear", action="store_true", help="Startup(CLEAR) is done already"
    )
    noun.add_argument(
        "--transient-slots",
        type=_slots,
        default=MAX_LOADED_OBJECTS,
        metavar="N",
        help="loaded objects at a time, 3 (default) to 256",
    )
    noun.add_argument("--json", action="store_true", help="the ports as one object")
    noun.set_defaults(run_noun=serve_tpm)
    summary = tpm_provision.SUMMARY
    noun = nouns.add_parser("provision", help=summary, description=summary)
    tpm_provision.configure(noun)
    noun.set_defaults(run_noun=tpm_provision.run)


def run(options: argparse.Namespace) -> int:
    """What the noun does."""
    status: int = options.run_noun(options)
    return status


def serve_tpm(options: argparse.Namespace) -> int:
    """Serve until somebody ends it."""
    return _serve(
        ServeOptions(
            wanted=wanted_ports(options),
            host=options.host,
            state=options.state,
            seed=options.seed,
            startup_clear=options.startup_clear,
            transient_slots=options.transient_slots,
            json=options.json,
        )
    )


def _serve(options: ServeOptions) -> int:
    service = start_service(
        options.seed,
        options.state,
        startup_clear=options.startup_clear,
        transient_slots=options.transient_slots,
    )
    serve(
        service,
        options.wanted,
        options.host,
        lambda addresses: _announce(addresses, options),
    )
    return YES


def _announce(addresses: list[Address], options: ServeOptions) -> None:
    if not options.host.startswith(("127.", "localhost", "::1")):
        print("pef: others on the network can reach this TPM", file=sys.stderr)
    if options.json:
        print(json.dumps(described(addresses)), flush=True)
        return
    for line in address_lines(addresses):
        print(line, flush=True)


def _slots(text: str) -> int:
    number = int(text)
    if not MAX_LOADED_OBJECTS <= number <= MAX_TRANSIENT_SLOTS:
        raise ValueError(text)
    return number
