"""pef boot: boot a machine and print what it measured."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from pefstack.firmware.boot import STAGES
from pefstack.firmware.stage import BootFailure
from pefstack.tools import boot_report as report
from pefstack.tools.cli import boot_show as shown
from pefstack.tools.cli.app import NO, NO_BOOT, YES
from pefstack.tools.cli.guest_options import add_guest_options, guest_settings
from pefstack.tools.cli.ports import add_ports, wanted_ports
from pefstack.tools.errors import UsageError
from pefstack.tools.files import write_bytes
from pefstack.tools.machine import Machine
from pefstack.tools.machine_file import built_in_machines, load
from pefstack.tools.style import paint

MAX_BOOTS: Final = 1000

_EPILOG: Final = """
Without MACHINE the demonstration machine boots; it is built once. A machine is a
built-in name (--list), a machine file, or a folder that `pef build` made.

examples:
  pef boot                          the demonstration machine
  pef boot tampered-hbb             a refusal, and what it says
  pef boot small --set machine.chip.smd=true
  pef boot small --keep             its TPM stays up for other programs
  pef boot small --tpm swtpm:localhost:2321
  pef boot demo --event-log boot.log --json | jq 'select(.kind == "extend")'
  pef boot key-transition --boots 2     the boot that changes keys, and the next
  pef boot demo --append "svm=on quiet"  another command line: secure mode is refused
  pef boot demo --kernel vmlinux --initrd initrd.img --append "svm=on"

exit codes: 0 booted, or shut down as its firmware wants; 1 the VM asked for secure mode
and was refused; 2 wrong use, 3 malformed input, 4 did not boot. With several boots it
is that of the last.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class BootOptions:
    """The options of this verb."""

    machine: str
    until: str
    settings: tuple[str, ...]
    guest: bool
    event_log: Path | None
    device_tree: Path | None
    json: bool
    quiet: bool
    tpm: str | None
    keep: bool
    wanted: dict[str, int]
    boots: int
    preserve_memory: bool


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _EPILOG
    parser.add_argument("machine", nargs="?", default="demo", metavar="MACHINE")
    parser.add_argument(
        "--list", action="store_true", help="list the built-in machines"
    )
    parser.add_argument(
        "--until",
        default=STAGES[-1],
        metavar="STAGE",
        choices=STAGES,
        help=f"stop after this stage: {', '.join(STAGES)}",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a setting over the machine file, as in machine.chip.smd=true",
    )
    parser.add_argument("--seed", help="short for --set machine.tpm.seed=SEED")
    parser.add_argument(
        "--event-log", type=Path, metavar="FILE", help="write the TPM event log there"
    )
    parser.add_argument(
        "--device-tree",
        type=Path,
        metavar="FILE",
        help="write the flattened device tree there",
    )
    parser.add_argument(
        "--json", action="store_true", help="the journal as JSON lines, the result last"
    )
    parser.add_argument(
        "--tpm",
        metavar="ADDRESS",
        help="run on another TPM: swtpm:HOST:PORT, mssim:HOST:PORT or dev:/dev/tpmrm0",
    )
    parser.add_argument(
        "--keep", action="store_true", help="serve the TPM after the boot, till Ctrl-C"
    )
    add_ports(parser)
    add_guest_options(parser)
    parser.add_argument("--quiet", action="store_true", help="print refusals only")
    parser.add_argument(
        "--boots",
        type=_count,
        default=1,
        metavar="N",
        help="boot N times; power is off in between, flash and SEEPROM stay",
    )
    parser.add_argument(
        "--preserve-memory",
        action="store_true",
        help="the boots after the first are memory-preserving IPLs",
    )


def run(options: argparse.Namespace) -> int:
    """Boot; the exit code says whether the machine did."""
    if options.list:
        return _list(options.json)
    seed = (
        [] if options.seed is None else [f"machine.tpm.seed={json.dumps(options.seed)}"]
    )
    return _boot(
        BootOptions(
            machine=options.machine,
            until=options.until,
            settings=(*guest_settings(options), *options.set, *seed),
            guest=not options.no_guest,
            event_log=options.event_log,
            device_tree=options.device_tree,
            json=options.json,
            quiet=options.quiet,
            tpm=options.tpm,
            keep=_keeps(options),
            wanted=wanted_ports(options),
            boots=options.boots,
            preserve_memory=options.preserve_memory,
        )
    )


def _count(text: str) -> int:
    """A number of boots; anything else is wrong use."""
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= MAX_BOOTS:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected 1 to {MAX_BOOTS}")
    return int(text)


def _boot(options: BootOptions) -> int:
    machine = Machine(
        options.machine,
        settings=options.settings,
        tpm=options.tpm,
        guest=options.guest,
    )
    status = _once(machine, options)
    for _ in range(options.boots - 1):
        if options.preserve_memory:
            machine.memory_preserving_ipl()
        else:
            machine.power_cycle()
        if not options.json and not options.quiet:
            print()
        status = _once(machine, options)
    if options.event_log is not None:
        write_bytes(options.event_log, machine.event_log)
    if options.device_tree is not None:
        write_bytes(options.device_tree, machine.device_tree)
    if options.keep:
        keep(machine, options.wanted, as_json=options.json)
    return status


def _once(machine: Machine, options: BootOptions) -> int:
    """One boot, shown as asked; its exit code."""
    show = shown.nothing if options.quiet else shown.text_lines
    if options.json and not options.quiet:
        show = shown.json_lines
    if options.tpm is not None and show is shown.text_lines:
        show = partial(shown.text_lines, told=False)
    failure = _run(machine, options.until, show)
    if options.json:
        shown.json_result(machine, failure)
    elif not options.quiet:
        shown.text_result(machine)
    if failure is not None and not options.json:
        print(*report.refusal_lines(machine.journal[-1]), sep="\n")
    if failure is not None:
        return NO_BOOT
    return NO if shown.esm_refused(machine, told=not options.json) else YES


def _keeps(options: argparse.Namespace) -> bool:
    """UsageError for options that go with --keep, without it, or against it."""
    asked = options.mssim is not None or options.swtpm is not None
    if asked and not options.keep:
        raise UsageError("--mssim and --swtpm go with --keep")
    if options.keep and options.tpm is not None:
        raise UsageError("--keep serves the machine's own TPM, --tpm uses another")
    kept: bool = options.keep
    return kept


def keep(machine: Machine, wanted: dict[str, int], *, as_json: bool) -> None:
    """Serve the TPM as the boot left it, until somebody ends it."""
    # loaded here: few boots serve anything
    from pefstack.tools.cli.keeping import serve_machine

    serve_machine(machine, wanted, as_json=as_json)


def _run(machine: Machine, until: str, show: shown.Show) -> BootFailure | None:
    """Stage by stage, each shown when it is done."""
    count = 0
    try:
        while machine.stage is not None and count <= STAGES.index(until):
            before = len(machine.journal)
            try:
                machine.step()
            finally:
                show(list(machine.journal)[before:])
            count += 1
    except BootFailure as failure:
        return failure
    return None


def _list(as_json: bool) -> int:
    for path in built_in_machines():
        document = load(path)
        about = " ".join(document["about"].split())
        if as_json:
            print(json.dumps({"name": path.stem, "about": about}))
        else:
            print(f"{paint(path.stem, 'strong')}\n  {about}\n")
    return YES
