"""pef esm: make, open and re-authorise ESM blobs (v1) and operands (v2)."""

from __future__ import annotations

import argparse
import importlib
import sys
from typing import Final

# command -> what it does; its module is pefstack.tools.cli.esm.<command>
COMMANDS: Final[dict[str, str]] = {
    # v2, operands
    "build": "make an operand for a guest, alone or in the guest's image",
    "add": "authorise one more machine in a finished image",
    "replace": "make a machine's sealed data anew in a finished image",
    "remove": "take a machine's sealed data out of a finished image",
    "seal": "make sealed data for one machine, in a file of its own",
    "list": "the slots of an operand: whose they are, which are free",
    "check": "whether an operand is good, with the seed or without",
}

_EPILOG: Final = """
v1 is the ESM blob of the real machines, with the commands of IBM's svm-tool; v2 is this
project's ESM operand. `pef esm COMMAND --help` has the options and examples.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the commands; only the one that is called is loaded."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    chosen = [each for each in sys.argv[2:3] if each in COMMANDS]
    for name in chosen or COMMANDS:
        summary = COMMANDS[name]
        sub = commands.add_parser(name, help=summary, description=summary)
        sub.formatter_class = argparse.RawDescriptionHelpFormatter
        module = importlib.import_module(f"pefstack.tools.cli.esm.{module_name(name)}")
        module.configure(sub)
        sub.set_defaults(run_command=module.run)


def module_name(command: str) -> str:
    """The module of a command: a dash is an underscore there."""
    return command.replace("-", "_")


def run(options: argparse.Namespace) -> int:
    """Run the command that was asked for."""
    status: int = options.run_command(options)
    return status
