"""The options that say where a TPM is served, the same for every verb."""

from __future__ import annotations

import argparse


def add_ports(parser: argparse.ArgumentParser) -> None:
    """The options that say which protocols are served, and where."""
    for name in ("mssim", "swtpm"):
        text = f"serve {name} on this port, 0 is any; without either option both, any"
        parser.add_argument(f"--{name}", type=_port, metavar="PORT", help=text)


def wanted_ports(options: argparse.Namespace) -> dict[str, int]:
    """A port for each protocol that was asked for; both, when none was.

    mssim comes last, and so does its setting.
    """
    asked = {"swtpm": options.swtpm, "mssim": options.mssim}
    given = {name: port for name, port in asked.items() if port is not None}
    return given or dict.fromkeys(asked, 0)


def _port(text: str) -> int:
    from pefstack.tools.tpm_server.framing import MAX_PORT

    number = int(text)
    if not 0 <= number <= MAX_PORT:
        raise ValueError(text)
    return number
