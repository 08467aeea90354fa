"""The program `pef`: one verb, loaded only when it is called."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Final

# every verb there will ever be; those without a module are not built yet
VERBS: Final = {
    "boot": "boot a machine and print what it measured",
    "build": "build the images that a machine file describes",
    "inspect": "say what every byte of a file is",
    "verify": "check signatures, hashes, places; answer yes or no",
    "edit": "replace, extract, re-sign parts of an image",
    "predict": "PCR values without booting",
    "explain": "say what a log word, a status byte, a refusal means",
    "diff": "first difference of two images, operands, journals, logs, machines",
    "esm": "make, open, re-authorise operands and blobs",
    "tpm": "serve, provision, ask a TPM",
    "fuzz": "feed the parsers",
    "fault": "skip checks, flip bits, tear writes",
    "cloud": "enrol, provision, rehearse",
}
BUILT: Final = frozenset(
    {"boot", "build", "inspect", "verify", "explain", "esm", "tpm"}
)

YES: Final = 0
NO: Final = 1
WRONG_USE: Final = 2
MALFORMED: Final = 3
NO_BOOT: Final = 4
DEFECT: Final = 70
_INTERRUPTED: Final = 130
_PIPE_CLOSED: Final = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the one verb that was asked for; the exit code of docs/cli.md."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run(words)
    except BrokenPipeError:  # the reader has gone: not an error of ours
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _PIPE_CLOSED
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return _INTERRUPTED
    except Exception as exc:  # the border: every error gets its exit code here
        return _failed(exc)


def _run(words: Sequence[str]) -> int:
    try:
        options = _parsed(words)
        status: int = options.run(options)
    finally:
        sys.stdout.flush()  # here, where a closed pipe is noticed; --help, too
    return status


def _parsed(words: Sequence[str]) -> argparse.Namespace:
    """The options of the verb; leaves with 2 for wrong use, with 0 after --help."""
    parser = argparse.ArgumentParser(
        prog="pef",
        description="An emulated OpenPOWER machine: boot it, build it, look inside.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    chosen = [verb for verb in words[:1] if verb in VERBS]
    for verb in chosen or VERBS:  # --help lists them all
        summary = VERBS[verb]
        later = "" if verb in BUILT else " (not in this version)"
        sub = verbs.add_parser(verb, help=summary + later, description=summary + later)
        if verb in chosen and verb in BUILT:
            module = importlib.import_module(f"pefstack.tools.cli.verb_{verb}")
            module.configure(sub)
            sub.set_defaults(run=module.run)
    options, unknown = parser.parse_known_args(words)
    if options.verb not in BUILT:
        parser.error(f"{options.verb} is not in this version; see CHANGELOG.md")
    if unknown:
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    return options


def _failed(exc: Exception) -> int:
    from pefstack.firmware.stage import BootFailure
    from pefstack.images.errors import FormatError, PefError
    from pefstack.tools.style import clean

    if isinstance(exc, PefError | OSError):  # the latter: a full disk, a closed pipe
        print(f"pef: {clean(str(exc))}", file=sys.stderr)
        if isinstance(exc, BootFailure):
            return NO_BOOT
        return MALFORMED if isinstance(exc, FormatError) else WRONG_USE
    import traceback

    traceback.print_exception(exc)
    print("pef: this is a defect of pefstack, not yours", file=sys.stderr)
    return DEFECT
