"""A TPM on its ports, told to the user: after a boot, or on its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from pefstack.hw.tpm.absent import AbsentTpm
from pefstack.hw.tpm.foreign import ForeignTpm
from pefstack.tools.errors import UsageError
from pefstack.tools.machine import Machine
from pefstack.tools.tpm_server.server import Address, TpmServer
from pefstack.tools.tpm_server.service import TpmService
from pefstack.tools.tpm_server.wakeful import wakeful_loop

Announce = Callable[[list[Address]], None]


def serve(
    service: TpmService, wanted: dict[str, int], host: str, announce: Announce
) -> None:
    """Serve until Ctrl-C, SIGTERM, or a client's STOP or SHUTDOWN."""
    with asyncio.Runner(loop_factory=wakeful_loop) as runner:
        runner.run(TpmServer(service, wanted, host).run(announce))


def serve_machine(machine: Machine, wanted: dict[str, int], *, as_json: bool) -> None:
    """Serve the TPM of a machine as it is now; the machine itself stays as it is."""
    tpm, clock = machine.board.tpm, machine.board.clock
    if isinstance(tpm, ForeignTpm | AbsentTpm):
        raise UsageError("--keep: the machine has no TPM of its own to serve")

    def announce(addresses: list[Address]) -> None:
        lines = address_lines(addresses)
        if as_json:
            lines = [json.dumps(serve_event(machine, addresses))]
        print(*lines, sep="\n", flush=True)

    serve(TpmService(tpm, clock), wanted, "127.0.0.1", announce)


def serve_event(machine: Machine, addresses: list[Address]) -> dict[str, Any]:
    """One more line in the form of an event, after the result."""
    event = {"seq": len(machine.journal) + 1, "source": "machine", "kind": "serve"}
    return event | {"detail": described(addresses)}


def described(addresses: list[Address]) -> dict[str, dict[str, str | int]]:
    """For each protocol its host, port and TCTI setting."""
    return {
        each.protocol: {"host": each.host, "port": each.port, "tcti": each.tcti}
        for each in addresses
    }


def address_lines(addresses: list[Address]) -> list[str]:
    """Where it listens, and the settings to paste, in the same order."""
    places = [
        f"{each.protocol:<6} {each.host} ports {each.port} and {each.port + 1}"
        for each in addresses
    ]
    return [*places, *(f"TPM2TOOLS_TCTI={each.tcti}" for each in addresses)]
