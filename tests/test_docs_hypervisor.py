"""docs/hypervisor.md says what the code does: its tables are held against it."""

from __future__ import annotations

import re
from pathlib import Path

from guest_kit import Placed, vector
from kvm_kit import Kvm
from pefstack import Machine
from pefstack.firmware.hypervisor.hostile import BEHAVIOURS, behave
from pefstack.firmware.hypervisor.kvm import HANDLERS
from pefstack.firmware.ultravisor.codes import HCall, HStatus
from pefstack.firmware.virtualization import Virtualization
from pefstack.hw.journal import Event
from pefstack.hw.secure_memory import SECURE_BIT

PAGE = Path(__file__).parent.parent / "docs" / "hypervisor.md"
Cells = tuple[str, ...]


def table(heading: str) -> list[Cells]:
    """The rows under a heading, without the marks of code."""
    text = PAGE.read_text(encoding="utf-8")
    part = text.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("|")][2:]
    cells = (line.replace("`", "").strip("|").split("|") for line in lines)
    return [tuple(each.strip() for each in row) for row in cells]


def test_every_hypercall_and_its_codes() -> None:
    rows = {name: f"{what} {refusals}" for name, what, refusals in table("Hypercalls")}
    assert set(rows) == {f"H_{each.name}" for each in HANDLERS}
    named = set(re.findall(r"\bH_[A-Z0-9_]+", " ".join(rows.values())))
    known = {f"H_{each.name}" for each in HStatus} | {f"H_{c.name}" for c in HCall}
    assert named <= known


def test_every_hostile_hypervisor() -> None:
    found = [
        (
            name,
            ", ".join(sorted(f"H_{call.name}" for call in each.handlers)),
            each.what,
            each.outcome.value,
        )
        for name, each in BEHAVIOURS.items()
    ]
    assert table("Hostile hypervisors") == found


def test_regions_of_a_guest() -> None:
    names = [row[0] for row in table("Where a guest's images lie")]
    placed = Placed(vector("zimage/zImage-le-gz.elf"))
    assert names == [name for name, _ in placed.at.regions]


def events_of(name: str, behaviour: str = "") -> list[Event]:
    settings = ['image.guest.append="svm=on pef.secrets=none,customer-data"']
    machine = Machine(name, settings=settings).run(until="hypervisor")
    running = machine.board.running
    assert isinstance(running, Virtualization)
    if behaviour:
        behave(running.hypervisor, behaviour)
    running.run()
    return list(machine.journal)


def test_every_event_and_its_details() -> None:
    kvm = Kvm().started()
    kvm.vm.base |= SECURE_BIT
    kvm.call(HCall.SVM_TPM_COMM, 1, 0, 10, 0, 4096)
    events = [*events_of("svm"), *events_of("svm", "tpm-refuses"), *kvm.journal]
    found = {
        (each.source, each.kind, ", ".join(each.detail))
        for each in events
        if each.source in ("hypervisor", "guest")
    }
    of_stages = ("vm-loaded", "start", "starts")  # those have the same names
    ours = {row for row in found if row[1] not in of_stages}
    assert set(table("Events")) == ours
