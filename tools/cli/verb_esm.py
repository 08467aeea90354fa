"""pef esm: make, open and re-authorise ESM blobs (v1) and operands (v2)."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence
from typing import Any, Final

# command -> what it does; its module is pefstack.tools.cli.esm.<command>
BLOBS: Final[dict[str, str]] = {
    "make": "make an ESM blob of a YAML file's entries",
    "create": "make a blob with the owner's lockbox alone",
    "authorize": "add a lockbox for a machine's key",
    "revoke": "take a key's lockbox away",
    "attach": "encrypt a file into the blob",
    "detach": "take an attached file out of the blob",
    "extract": "decrypt an attached file",
    "digest": "put a guest's digests into the blob, or compare them with it",
    "display": "say what is in a blob",
    "generate": "make a pair of RSA keys",
    "svm-add": "put a blob in front of an initramfs",
}
OPERANDS: Final[dict[str, str]] = {
    "build": "make an operand for a guest, alone or in the guest's image",
    "add": "authorise one more machine in a finished image",
    "replace": "make a machine's sealed data anew in a finished image",
    "remove": "take a machine's sealed data out of a finished image",
    "seal": "make sealed data for one machine, in a file of its own",
    "list": "the slots of an operand: whose they are, which are free",
    "check": "whether an operand is good, with the seed or without",
}
COMMANDS: Final = BLOBS | OPERANDS

_EPILOG: Final = """
v1 is the ESM blob of the real machines, with the commands of IBM's svm-tool; v2 is this
project's ESM operand, which real machines cannot find. `pef esm COMMAND --help` has the
options; those that print something take --json.

examples:
  pef esm generate -p owner.pub.pem -s owner.sec.pem
  pef esm make -b blob.dtb -y svm_blob.yml
  pef esm svm-add -i initrd.img -b blob.dtb -f esmb-initrd.img
  pef esm display -b esmb-initrd.img --json | jq .files
  pef esm build --kernel vmlinux --initrd initrd.img --append "$LINE" \\
      --passphrase-file disk.key --new-seed --seed-file vm.seed --image guest.img
  pef esm add guest.img --storage-key key.pub --pcr6 $VALUE --seed-file vm.seed
  pef esm check guest.img --seed-file vm.seed --kernel vmlinux --append "$LINE"
"""


class LazyParser(argparse.ArgumentParser):
    """The parser of a command, which loads the command's module when it parses."""

    def __init__(self, *, module: str, **settings: Any) -> None:
        # --seed is no short form of --seed-file
        super().__init__(allow_abbrev=False, **settings)
        self.formatter_class = argparse.RawDescriptionHelpFormatter
        self._module: str | None = module

    def load(self) -> None:
        """Declare the options, once."""
        name, self._module = self._module, None
        if name is not None:
            module = importlib.import_module(name)
            module.configure(self)
            self.set_defaults(run_command=module.run)

    def parse_known_args(  # type: ignore[override]  # typeshed has three overloads
        self,
        args: Sequence[str] | None = None,
        namespace: argparse.Namespace | None = None,
    ) -> tuple[argparse.Namespace, list[str]]:
        """As in the base class; nobody asks for the options before."""
        self.load()
        return super().parse_known_args(args, namespace)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the commands; only the one that is called is loaded."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=LazyParser
    )
    for version, known in (("v1", BLOBS), ("v2", OPERANDS)):
        for name, summary in known.items():
            module = f"pefstack.tools.cli.esm.{module_name(name)}"
            text = f"{version}: {summary}"
            commands.add_parser(name, help=text, description=summary, module=module)


def module_name(command: str) -> str:
    """The module of a command: a dash is an underscore there."""
    return command.replace("-", "_")


def run(options: argparse.Namespace) -> int:
    """Run the command that was asked for."""
    status: int = options.run_command(options)
    return status
