"""pef explain: what a log word, a status, a response code or a refusal says."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Final

from pefstack.tools.cli.app import NO, YES
from pefstack.tools.explaining import CAN_EXPLAIN, Reading, readings
from pefstack.tools.style import clean, paint

_EPILOG: Final = """
Numbers are hexadecimal, with 0x or without. A number that can mean several things is
explained as each of them, with the place where it stands when it means that.

examples:
  pef explain 0xffffffffffff8172      the log word of a rejected container
  pef explain 61                      a status byte that the SBE left
  pef explain 0x0000610000000000      scratch register 11
  pef explain component-id --json     a refusal of `pef boot`

exit codes: 0 explained, 1 nothing known about it, 2 wrong use
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    parser.add_argument("word", metavar="WORD")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(options: argparse.Namespace) -> int:
    """Print every reading; without one the answer is no."""
    found = readings(options.word)
    if options.json:
        plain = {"word": options.word, "readings": [asdict(each) for each in found]}
        print(json.dumps(plain, indent=2))
    elif found:
        print("\n\n".join("\n".join(_lines(each)) for each in found))
    else:
        print(f"nothing known about {clean(options.word)}")
        print(f"can be explained: {CAN_EXPLAIN}")
    return YES if found else NO


def _lines(reading: Reading) -> Iterator[str]:
    yield paint(f"{reading.kind} {reading.name}".rstrip(), "strong")
    yield f"  where     {reading.where}"
    yield f"  says      {reading.says}"
    if reading.order:
        order = (f"{who} check {number}" for who, number in reading.order.items())
        yield f"  order     {', '.join(order)}"
    if reading.mend:
        yield f"  to do     {reading.mend}"
