"""How a boot is shown: stage by stage, and its result, as text or as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict

from pefstack.firmware.stage import BootFailure
from pefstack.firmware.status import tpm_is_lost
from pefstack.hw.errors import DeviceError
from pefstack.hw.journal import Event
from pefstack.images.errors import FormatError
from pefstack.tools import boot_report as report
from pefstack.tools.errors import UsageError
from pefstack.tools.guest_report import refusal_lines, refused, vm_state
from pefstack.tools.log_check import Differences, log_differences
from pefstack.tools.machine import Machine
from pefstack.tools.style import paint

Show = Callable[[Sequence[Event]], None]


def nothing(events: Sequence[Event]) -> None:
    """--quiet."""


def json_lines(events: Sequence[Event]) -> None:
    """The events as they are."""
    for event in events:
        print(json.dumps(asdict(event)))


def text_lines(events: Sequence[Event], *, told: bool = True) -> None:
    """A stage for people; ``told``: the journal has what the TPM did."""
    first = events[0]
    if first.kind == "power-on":
        print(report.heading(first))
        print(paint(report.HONEST, "dim"))
        if whose := report.tpm_line(first):
            print(whose)
        events = [event for event in events[1:] if event.kind != "startup"]
    if not events:  # a TPM that could not be switched on
        return
    starts = [event for event in events if event.kind == "start"]
    rest = [event for event in events if event.kind != "start"]
    print(*report.stage_lines([*starts, *rest], told=told), sep="\n", flush=True)


def text_result(machine: Machine) -> None:
    """Alarms and PCRs."""
    print()
    for line in report.alarm_lines(machine.journal):
        print(line)
    pcrs = _pcrs(machine)
    for line in report.log_lines(_log_differences(machine, pcrs)):
        print(line)
    policy_pcr = machine.board.spec.measure.pcr
    print(*report.pcr_lines(pcrs, policy_pcr), sep="\n")


def esm_refused(machine: Machine, *, told: bool) -> bool:
    """Whether the VM asked for secure mode and did not get it; says why."""
    event = refused(machine.journal)
    if event is not None and told:
        print(*refusal_lines(event), sep="\n")
    return event is not None


def json_result(machine: Machine, failure: BootFailure | None) -> None:
    """One more line in the form of an event, so that one filter reads them all."""
    pcrs = _pcrs(machine)
    down = machine.journal[-1].kind == "shutdown"
    detail = {
        "booted": failure is None and not down,
        "next": machine.stage,
        "sha256": {str(index): value.hex() for index, value in pcrs.items()},
        "log_differs": [*_log_differences(machine, pcrs)],
        "vm": vm_state(machine.journal),
    }
    event = {"seq": len(machine.journal), "source": "machine", "kind": "result"}
    print(json.dumps(event | {"detail": detail}))


def _pcrs(machine: Machine) -> dict[int, bytes]:
    """None where the TPM has no SHA-256 bank yet, or does not answer."""
    try:
        return machine.pcrs()
    except (DeviceError, FormatError, UsageError):
        return {}


def _log_differences(machine: Machine, pcrs: dict[int, bytes]) -> Differences:
    """None where the boot did not come to a whole log, or its TPM was given up."""
    if not machine.device_tree or tpm_is_lost(machine.board):
        return {}
    return log_differences(machine.event_log, pcrs)
