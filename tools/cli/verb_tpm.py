"""pef tpm: serve a TPM to other programs."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pefstack.tools.cli.app import YES
from pefstack.tools.tpm_server.server import MAX_PORT, Address, TpmServer
from pefstack.tools.tpm_server.start import start_service

LOOPBACK: Final = "127.0.0.1"
_EPILOG: Final = """
nouns: serve

examples:
  pef tpm serve --startup-clear                    both protocols, any free ports
  pef tpm serve --mssim 2321 --state tpm.state     what lasts is kept in the file
  pef tpm serve --swtpm 0 --seed x --json          ports as one JSON object
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
    json: bool


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the nouns and their options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    nouns = parser.add_subparsers(dest="noun", required=True, metavar="NOUN")
    summary = "a TPM 2.0 for other programs, over TCP"
    serve = nouns.add_parser("serve", help=summary, description=summary)
    serve.formatter_class = argparse.RawDescriptionHelpFormatter
    serve.epilog = _SERVE_EPILOG
    add_ports(serve)
    serve.add_argument(
        "--host", default=LOOPBACK, help=f"address to listen on, {LOOPBACK} by default"
    )
    serve.add_argument(
        "--state", type=Path, metavar="FILE", help="keep there what lasts"
    )
    serve.add_argument("--seed", help="all randomness follows from it; else none does")
    serve.add_argument(
        "--startup-clear", action="store_true", help="Startup(CLEAR) is done already"
    )
    serve.add_argument("--json", action="store_true", help="the ports as one object")


def add_ports(parser: argparse.ArgumentParser) -> None:
    """The options that say which protocols are served, and where."""
    for name in ("mssim", "swtpm"):
        text = f"serve {name} on this port, 0 is any; without either option both, any"
        parser.add_argument(f"--{name}", type=_port, metavar="PORT", help=text)


def wanted_ports(options: argparse.Namespace) -> dict[str, int]:
    """A port for each protocol that was asked for; both, when none was."""
    asked = {"swtpm": options.swtpm, "mssim": options.mssim}
    return {
        name: port for name, port in asked.items() if port is not None
    } or dict.fromkeys(asked, 0)


def run(options: argparse.Namespace) -> int:
    """Serve until somebody ends it."""
    return _serve(
        ServeOptions(
            wanted=wanted_ports(options),
            host=options.host,
            state=options.state,
            seed=options.seed,
            startup_clear=options.startup_clear,
            json=options.json,
        )
    )


def _serve(options: ServeOptions) -> int:
    service = start_service(
        options.seed, options.state, startup_clear=options.startup_clear
    )
    server = TpmServer(service, options.wanted, options.host)
    asyncio.run(server.run(lambda addresses: _announce(addresses, options)))
    return YES


def _announce(addresses: list[Address], options: ServeOptions) -> None:
    if not options.host.startswith(("127.", "localhost", "::1")):
        print("pef: others on the network can reach this TPM", file=sys.stderr)
    if options.json:
        print(json.dumps(described(addresses)), flush=True)
        return
    for line in address_lines(addresses):
        print(line, flush=True)


def described(addresses: list[Address]) -> dict[str, dict[str, str | int]]:
    """For each protocol its host, port and TCTI setting."""
    return {
        each.protocol: {"host": each.host, "port": each.port, "tcti": each.tcti}
        for each in addresses
    }


def address_lines(addresses: list[Address]) -> list[str]:
    """Where it listens, and the settings to paste, mssim's last."""
    places = [
        f"{each.protocol:<6} {each.host} ports {each.port} and {each.port + 1}"
        for each in addresses
    ]
    return [*places, *(f"TPM2TOOLS_TCTI={each.tcti}" for each in addresses)]


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= MAX_PORT:
        raise ValueError(text)
    return number
