"""The guest's early boot: what it asks for, where it goes on, where secrets end up."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guest_kit import Placed, vector
from pefstack.firmware.guest.command_line import (
    asks_for_secure_mode,
    secret_names,
)
from pefstack.firmware.guest.early_boot import EarlyBoot, GuestMemory, Phase, Sc
from pefstack.firmware.guest.os_term import MESSAGE
from pefstack.firmware.ultravisor.codes import HCall, UvCall, UvStatus
from pefstack.hw.chip import MSR_HV, MSR_S
from pefstack.hw.cpu import MSR_LE, MSR_SF, CpuState
from pefstack.hw.guest_spec import GuestSpec
from pefstack.hw.journal import Journal
from pefstack.hw.memory import Memory

KERNEL = vector("in/vmlinux-a.elf")
SECRET = bytes(range(100, 200))
Answer = Callable[[CpuState], None]


@dataclass
class Run:
    """A guest on its way; `files` is what the ultravisor serves."""

    line: str = "svm=on"
    files: dict[str, bytes] = field(default_factory=dict)
    journal: Journal = field(default_factory=Journal)
    cpu: CpuState = field(default_factory=CpuState)
    asked: list[tuple[int, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.placed = Placed(KERNEL, spec=GuestSpec(command_line=self.line))
        self.boot = EarlyBoot(placement=self.placed.at)
        self.boot.start(self.cpu)

    @property
    def memory(self) -> Memory:
        return self.placed.memory

    def step(self) -> Sc | None:
        return self.boot.run(self.cpu, self.memory, self.journal)

    def returns(self, *values: int) -> None:
        """As `rfid` behind the `sc`."""
        self.cpu.nia += 4
        self.cpu.set_result(*values)

    def enter_secure(self) -> None:
        """As the ultravisor does at the end of UV_ESM."""
        self.cpu.msr |= MSR_S
        self.cpu.nia = self.boot.placement.kbase
        self.cpu.set_result(self.boot.placement.fdt_address, self.cpu.nia, 0)

    def serve(self) -> None:
        """UV_ESMB_GET_FILE, as long as it is called."""
        while self.step() == Sc(2):
            number, offset, *name = self.cpu.gpr[3:13]
            assert number == UvCall.ESMB_GET_FILE
            text = struct.pack(">8Q", *name).rstrip(b"\0").decode()
            self.asked.append((offset, len(text)))
            content = self.files.get(text)
            if content is None:
                self.returns(-1)
                continue
            part = content[offset : offset + 64]
            self.returns(len(part), *struct.unpack(">8Q", part.ljust(64, b"\0")))

    def kinds(self) -> list[str]:
        return [each.kind for each in self.journal]


def secured(files: dict[str, bytes], line: str = "svm=on") -> Run:
    """A guest that went secure and read what it wanted."""
    run = Run(line, files)
    assert run.step() == Sc(2)
    run.enter_secure()
    run.serve()
    return run


def test_it_starts_64_bit_little_endian_at_kbase() -> None:
    run = Run()
    assert run.cpu.msr == MSR_SF | MSR_LE and not run.cpu.msr & (MSR_HV | MSR_S)
    assert run.cpu.nia == run.placed.at.kbase


def test_the_call_is_that_of_prom_init() -> None:
    run = Run()
    assert run.step() == Sc(2)
    at = run.placed.at
    assert run.cpu.gpr[3:6] == [0xF110, at.kbase, at.fdt_address]
    assert run.cpu.nia != at.kbase
    assert run.kinds() == ["esm-call"]


def test_without_svm_it_runs_as_a_normal_vm() -> None:
    run = Run("quiet")
    assert run.step() is None and run.step() is None
    assert run.boot.phase is Phase.RUNNING and not run.boot.secure
    assert [each.detail for each in run.journal] == [{"mode": "normal"}]


@pytest.mark.parametrize("status", [UvStatus.PARAMETER, UvStatus.PERMISSION, 0xF110])
def test_a_refusal_is_said_and_ends_in_os_term(status: int) -> None:
    run = Run()
    run.step()
    run.returns(status)
    assert run.step() == Sc(1)
    text = f"Returned {int(status)} from switching to secure mode."
    assert run.boot.message == text == run.journal[-1].detail["text"]
    assert run.cpu.gpr[3] == HCall.RTAS
    words = struct.unpack(">4I", run.memory.read(run.cpu.gpr[4], 16))
    assert words[:3] == (0x201F, 1, 1)
    assert run.memory.read(words[3], 40).partition(b"\0")[0] == MESSAGE.encode()
    run.returns(0)
    assert run.step() is None and run.boot.phase is Phase.STOPPED
    assert not run.boot.secure and run.step() is None


def test_status_0_without_the_s_bit_is_no_secure_vm() -> None:
    """What a hypervisor can answer in the ultravisor's place; as Linux takes it."""
    run = Run()
    run.step()
    run.returns(0)
    assert run.step() is None
    assert run.boot.phase is Phase.RUNNING and not run.boot.secure
    assert run.journal[-1].detail == {"mode": "normal"}


def test_the_entry_without_the_s_bit_is_no_secure_vm() -> None:
    run = Run()
    run.step()
    run.enter_secure()
    run.cpu.msr &= ~MSR_S
    assert run.step() == Sc(1) and not run.boot.secure


def test_status_0_behind_the_call_in_secure_mode() -> None:
    run = Run()
    run.step()
    run.returns(0)
    run.cpu.msr |= MSR_S
    assert run.step() == Sc(2) and run.boot.secure


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 100, 4096, 0x10000])
def test_a_secret_comes_64_bytes_a_call_into_memory(size: int) -> None:
    secret = (SECRET * 700)[:size]
    run = secured({"rootfs-passphrase": secret})
    place = run.boot.secrets["rootfs-passphrase"]
    assert run.placed.lies_at(place) == secret
    offsets = [offset for offset, _ in run.asked]
    assert offsets == [*range(0, size, 64), size, 0]  # there is no other one
    assert run.boot.phase is Phase.RUNNING
    last = [(e.kind, e.detail) for e in run.journal][-2:]
    read = {"name": "rootfs-passphrase", "size": size}
    assert last == [("secret-read", read), ("running", {"mode": "secure"})]


def test_no_byte_of_a_secret_is_anywhere_else() -> None:
    """Not in what the guest is in Python, nor in the journal."""
    run = secured({"rootfs-passphrase": SECRET})
    text = repr(run.boot) + "".join(map(repr, run.journal))
    for part in (SECRET[:8].hex(), repr(SECRET[:4])[2:-1], str(SECRET[0:4])[2:-1]):
        assert part not in text


def test_names_of_the_command_line_each_in_its_place() -> None:
    files = {"a": b"first", "b-2": b"second" * 20}
    run = secured(files, "svm=on pef.secrets=a,none,b-2 quiet")
    found = {n: run.placed.lies_at(r) for n, r in run.boot.secrets.items()}
    assert found == files
    refused = [e.detail for e in run.journal if e.kind == "secret-refused"]
    assert refused == [{"name": "none", "why": -1}]


def test_a_passphrase_that_is_not_there_is_no_error() -> None:
    run = secured({})
    assert run.kinds() == ["esm-call", "secure", "running"]


def test_secrets_that_do_not_fit_stay_out_of_the_rest_of_memory() -> None:
    files = {"a": bytes(0xFFF0), "b": SECRET, "c": b"fits"}
    run = secured(files, "svm=1 pef.secrets=a,b,c")
    heap = run.placed.at.heap
    assert set(run.boot.secrets) == {"a", "c"}
    assert all(r.stop <= heap + 0x10000 for r in run.boot.secrets.values())
    assert run.memory.read(heap + 0x10000, 64) == bytes(64)
    assert [e.detail for e in run.journal if e.kind == "secret-refused"] == [
        {"name": "b", "why": "no room"}
    ]


def test_a_part_that_was_not_taken_stays_in_no_register() -> None:
    files = {"a": bytes(0xFFF0), "b": SECRET}
    run = secured(files, "svm=1 pef.secrets=a,b")
    assert set(run.boot.secrets) == {"a"}
    assert run.cpu.gpr[4:12] == [0] * 8


@pytest.mark.parametrize("count", [65, 1 << 62, -4])
def test_a_count_that_cannot_be_ends_the_reading(count: int) -> None:
    run = Run("svm=on pef.secrets=a")
    run.step()
    run.enter_secure()
    assert run.step() == Sc(2)
    run.returns(count, *[7] * 8)
    assert run.step() is None
    assert run.boot.secrets == {} and run.kinds()[-2] == "secret-refused"
    assert run.memory.read(run.placed.at.heap, 128) == bytes(128)


def test_a_fork_in_the_middle_has_a_future_of_its_own() -> None:
    run = Run("svm=on pef.secrets=a")
    run.step()
    run.enter_secure()
    run.step()
    run.returns(64, *[7] * 8)
    run.step()
    other, cpu = run.boot.fork(), run.cpu.fork()
    cpu.nia += 4
    cpu.set_result(0)
    other.run(cpu, run.memory.fork(), Journal())
    assert len(other.secrets["a"]) == 64 and other.phase is Phase.RUNNING
    assert run.boot.secrets == {} and run.boot.phase is Phase.READING
    assert run.boot.reading.size == 64 and run.kinds()[-1] == "secure"


def test_memory_serves_as_the_guests() -> None:
    memory: GuestMemory = Memory(1 << 20)
    assert memory.read(0, 1) == b"\0"


# --- the command line, as Linux reads it


@pytest.mark.parametrize(
    ("line", "asks"),
    [
        ("svm=on", True),
        ("init=/bin/sh svm=1", True),
        ("svm=Y", True),
        ("svm=oNe", True),
        ("nosvm=y", True),  # found anywhere
        ("svm=off", False),
        ("svm=0", False),
        ("svm=o", False),
        ("svm=", False),
        ("svm=off svm=on", False),  # the first counts
        ("svm", False),
        ("", False),
    ],
)
def test_svm_as_prom_init_reads_it(line: str, asks: bool) -> None:
    assert asks_for_secure_mode(line.encode()) is asks


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("", ("rootfs-passphrase", "rootd")),
        ("pef.secrets=", ()),
        ("pef.secrets=a,b,a", ("a", "b")),
        ("pef.secrets=a pef.secrets=b", ("b",)),
        ("pef.secrets=" + "x" * 64, ("x" * 64,)),
        ("pef.secrets=" + "x" * 65 + ",y", ("y",)),
        ("pef.secrets=" + "é" * 33, ()),
        ("xpef.secrets=a", ("rootfs-passphrase", "rootd")),
    ],
)
def test_names_of_secrets(line: str, names: tuple[str, ...]) -> None:
    assert secret_names(line.encode()) == names


@given(st.binary(max_size=300))
def test_any_command_line_gives_names_that_can_be_asked_for(raw: bytes) -> None:
    names = secret_names(b"pef.secrets=" + raw)
    assert len(names) <= 16
    assert all(0 < len(each.encode()) <= 64 for each in names)
    assert asks_for_secure_mode(raw) in (True, False)
