"""Every relay in a whole machine: between its ultravisor and its TPM, while a VM asks.

The relay knows what a hypervisor knows: the event log, the operand, the traffic. The
oracle knows the secrets: the relay saw none of them, and the VM is refused, or secure
with exactly what was built for it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from pefstack import Machine
from pefstack.firmware.hypervisor.relay.protocol import Known, Relay
from pefstack.firmware.hypervisor.relay.table import RELAYS, relay_named
from pefstack.firmware.ultravisor.effects import Aborted, Entered
from pefstack.firmware.ultravisor.guest_memory import SecureGuestMemory
from pefstack.firmware.virtualization import Virtualization
from pefstack.hw.entropy import Entropy
from pefstack.images.esm_operand import EsmOperand
from pefstack.images.initramfs import find_blob
from secret_kit import Watched
from traces import traces

PASSPHRASE = b"made-up root-disk passphrase"
NAME = "rootfs-passphrase"
V1 = [
    "image.guest.format=v1",
    "image.guest.security-version=0",
    "image.guest.minimum-version=0",
]
MACHINES = {
    "operand": ("svm", []),
    "blob": ("svm", V1),
    "published": ("svm-v1", []),
}


@cache
def loaded(kind: str) -> Machine:
    name, settings = MACHINES[kind]
    return Machine(name, settings=settings).run(until="hypervisor")


def software(machine: Machine) -> Virtualization:
    running = machine.board.running
    assert isinstance(running, Virtualization)
    return running


@cache
def secrets_of(kind: str) -> dict[str, bytes]:
    """What nobody but the ultravisor and its VM may know."""
    machine = loaded(kind).fork()
    uv = software(machine).ultravisor
    assert uv is not None
    assert uv.machine is not None
    passwords = {
        "password of the index": uv.machine.nv_password,
        "password of the wrapping key": uv.machine.wrapping_key_password,
    }
    found = Watched(machine).run().secrets
    assert {"seed", "master key"} & {*found}
    return {"passphrase": PASSPHRASE, **passwords, **found}


def known(machine: Machine) -> Known:
    extends = [
        bytes.fromhex(str(event.detail["digest"]))
        for event in machine.journal
        if (event.source, event.kind) == ("tpm", "extend") and event.detail["pcr"] == 6
    ]
    return Known(extends=tuple(extends))


def run(kind: str, relay_id: str) -> tuple[Virtualization, Relay]:
    machine = loaded(kind).fork()
    running = software(machine)
    stream = Entropy(relay_id, "relay")
    relay = relay_named(relay_id, machine.board.tpm, stream, known(machine))
    running.hypervisor.relay = relay
    put_slot(machine, relay)
    running.run()
    return running, relay


def put_slot(machine: Machine, relay: Relay) -> None:
    """What the relay wants to stand in the operand, which lies in normal memory."""
    running, images = software(machine), machine.board.guest_images
    assert images is not None
    initrd = bytes(images.initrd)
    found = find_blob(initrd, address=0)
    blob = initrd[found.offset : found.offset + found.room]
    if blob[:4] != b"ESMO":
        return
    parts = EsmOperand.from_bytes(blob).slots[0].parts()
    body = b"".join(len(part).to_bytes(2, "big") + part for part in parts)
    wanted = relay.operand_slot(body)
    assert running.guest is not None
    assert running.vm is not None
    place = running.guest.placement.initrd
    assert place is not None
    assert len(wanted) == len(body)
    at = running.vm.real(place.start + initrd.index(body))
    machine.board.memory.write(at, wanted)


def check_end(running: Virtualization) -> None:
    end: Any = running.end
    uv, guest, vm = running.ultravisor, running.guest, running.vm
    assert uv is not None
    assert guest is not None
    assert vm is not None
    if isinstance(end, Entered):
        place = guest.secrets[NAME]
        memory = SecureGuestMemory(uv, vm.lpid)
        assert memory.read(place.start, len(place)) == PASSPHRASE
        return
    assert isinstance(end, Aborted)
    assert end.reason.step == 16
    assert guest.message == "Returned -4 from switching to secure mode."
    assert not guest.secrets
    assert uv.secure.used_pages == 0


@pytest.mark.parametrize("relay_id", RELAYS)
@pytest.mark.parametrize("kind", ["operand", "blob"])
def test_a_relay_learns_nothing_and_changes_no_verdict(
    kind: str, relay_id: str
) -> None:
    running, relay = run(kind, relay_id)
    check_end(running)
    assert relay.view
    assert traces(relay.view, secrets_of(kind)) == []


@pytest.mark.parametrize("kind", MACHINES)
def test_an_honest_relay_is_no_hindrance(kind: str) -> None:
    running, relay = run(kind, "honest")
    assert running.vm_secure
    assert traces(relay.view, secrets_of(kind)) == []


@pytest.mark.parametrize("kind", ["operand", "blob"])
def test_some_relays_deny_and_some_do_not(kind: str) -> None:
    """Neither all calls end well nor all badly: the oracle looked at both."""
    ends = {type(run(kind, relay_id)[0].end) for relay_id in RELAYS}
    assert ends == {Entered, Aborted}


def test_as_published_a_relay_gets_the_master_key() -> None:
    """PCR 16 alone guards the change of the password (docs/threat-model.md)."""
    running, relay = run("published", "V-change")
    assert traces(relay.view, secrets_of("published")) == [
        "master key",
        "opened by the TPM",
    ]
    strict = run("blob", "V-change")[1]
    assert traces(strict.view, secrets_of("blob")) == []
    assert isinstance(running.end, Entered | Aborted)
