"""A machine after its ultravisor started, and its VM that makes UV_ESM."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from hashlib import sha256
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from pefstack import Machine
from pefstack.firmware.guest.early_boot import EarlyBoot, GuestMemory, Phase, Sc
from pefstack.firmware.guest.place import Placement
from pefstack.firmware.hypervisor.kvm import Hypervisor
from pefstack.firmware.hypervisor.vm import Vm
from pefstack.firmware.ultravisor.codes import HCall, UvCall
from pefstack.firmware.ultravisor.effects import End, Entered
from pefstack.firmware.ultravisor.svm import Svm
from pefstack.firmware.ultravisor.ultravisor import Ultravisor
from pefstack.firmware.virtualization import Virtualization
from pefstack.hw.cpu import MSR_LE, MSR_SF, CpuState, signed
from pefstack.hw.journal import Journal
from pefstack.hw.secure_memory import SECURE_BIT, HypervisorMemory
from pefstack.images.esm_blob_refusal import EsmProfile
from pefstack.images.uv_tpm import UvTpm
from tpm_client_kit import two_b
from tpm_kit import command, rc_of
from uv_guest_kit import (
    BLANK,
    KBASE,
    MEMORY,
    PAGE,
    PASSWORD,
    RTAS_AT,
    SHARED_AT,
    TREE_AT,
    Guest,
    cell,
    new_machine,
    vector,
)

PLACED: Final = Placement(
    kbase=KBASE,
    kernel_size=PAGE,
    fdt=range(TREE_AT, TREE_AT + PAGE),
    rtas_base=RTAS_AT,
    heap=0x700000,
    bootargs=b"",
)


@dataclass(slots=True)
class Hostile(Hypervisor):
    """An honest hypervisor but for ``instead``: what it does in place of a hypercall.

    That gets the honest one's work as its first argument: ``instead(honest, lpid,
    number, args)``. ``seen`` are the hypercalls in their order.
    """

    instead: Callable[..., tuple[int, ...] | None] | None = None
    seen: list[int] = field(default_factory=list)

    def hypercall(
        self, lpid: int, number: int, args: Sequence[int] = ()
    ) -> tuple[int, ...]:
        self.seen.append(number)

        def honest() -> tuple[int, ...]:
            return Hypervisor.hypercall(self, lpid, number, args)

        if self.instead is not None:
            found = self.instead(honest, lpid, number, args)
            if found is not None:
                return found
        return honest()

    def fork(self, memory: Any, relay: Any, journal: Any) -> Hostile:
        other = super(Hostile, self).fork(memory, relay, journal)
        other.instead, other.seen = self.instead, list(self.seen)
        return other


class World:
    """A machine of its own that waits for its first VM.

    ``profile`` is the ultravisor's; ``instead`` makes the hypervisor a hostile one.
    """

    def __init__(
        self,
        profile: str = "strict",
        instead: Callable[..., tuple[int, ...] | None] | None = None,
        *,
        of: Machine | None = None,
    ) -> None:
        self.whole = of or new_machine().fork()
        board = self.whole.board
        running = board.running
        assert isinstance(running, Virtualization)
        if of is None:
            assert running.ultravisor is not None
            running.ultravisor.profile = EsmProfile(profile)
            kvm = Hostile(HypervisorMemory(board.memory), board.tpm, board.journal)
            kvm.instead = instead
            board.running = Virtualization(
                board=board, hypervisor=kvm, ultravisor=running.ultravisor
            )
        self.board = board
        self._handed_over = self.machine
        self.others: list[int] = []

    @property
    def running(self) -> Virtualization:
        found = self.board.running
        assert isinstance(found, Virtualization)
        return found

    @property
    def uv(self) -> Ultravisor:
        assert self.running.ultravisor is not None
        return self.running.ultravisor

    @property
    def kvm(self) -> Hostile:
        found = self.running.hypervisor
        assert isinstance(found, Hostile)
        return found

    @property
    def vm(self) -> Vm:
        assert self.running.vm is not None
        return self.running.vm

    @property
    def machine(self) -> UvTpm:
        assert self.uv.machine is not None
        return self.uv.machine

    @property
    def svm(self) -> Svm:
        return self.uv.svms[self.vm.lpid]

    def fork(self) -> World:
        return World(of=self.whole.fork())

    def place(self, guest: Guest, size: int = MEMORY) -> World:
        """A new VM with the guest in it; it is the one that makes calls."""
        vm = self.kvm.create_vm(size, 1)
        self.running.vm = vm
        for at, part in guest.parts().items():
            if part:
                self.write(at, part)
        self.running.guest = EarlyBoot(placement=PLACED, phase=Phase.RUNNING)
        return self

    def write(self, gpa: int, data: bytes) -> None:
        """Into the normal memory of the VM."""
        self.board.memory.write(self.vm.base + gpa, data)

    def read(self, gpa: int, size: int) -> bytes:
        """Of the normal memory of the VM."""
        return self.board.memory.read(self.vm.base + gpa, size)

    def normal_bytes(self) -> bytes:
        """All of it but the highest 512 KiB, where buffers are shared."""
        return self.read(0, SHARED_AT)

    def begin(
        self, kbase: int = KBASE, tree: int = TREE_AT, msr: int = MSR_SF | MSR_LE
    ) -> World:
        """The VM's processor executes `sc 2` with UV_ESM; nothing is done yet."""
        cpu = self.vm.cpu
        cpu.msr, cpu.nia = msr, kbase + 0x40
        cpu.gpr[3:6] = [UvCall.ESM, kbase, tree]
        self.running.sc(2)
        return self

    def finish(self) -> End:
        """On to the end of the call."""
        self.running.run()
        assert self.running.end is not None
        return self.running.end

    def until(self, step: int) -> World:
        """On to the first question of a step, which is not answered yet."""
        calls = self.uv.calls
        while self.vm.lpid in calls and calls[self.vm.lpid].step < step:
            self.running.step()
        return self

    def leave_free(self, pages: int) -> None:
        """Somebody else has the rest of secure memory."""
        count = self.board.secure.free_pages - pages
        self.others = [self.board.secure.allocate() for _ in range(count)]

    @property
    def used_pages(self) -> int:
        """Secure pages that are handed out, but for those of `leave_free`."""
        return self.board.secure.used_pages - len(self.others)

    def mended(self, guest: Guest) -> World:
        """All that was wrong is right again: the same VM with a good guest."""
        for page in self.others[-256:]:
            self.board.secure.free(page)
        self.others = []
        self.kvm.instead, self.kvm.relay = None, self.board.tpm
        self.uv.profile, self.uv.machine = EsmProfile.STRICT, self._handed_over
        if not self.vm.lpid:
            self.vm.lpid = 1
        for at, part in guest.parts().items():
            self.write(at, part)
        return self

    def handles(self) -> bytes:
        """Which sessions and transient objects the TPM holds."""
        asked = (0x02000000, 0x03000000, 0x80000000)
        words = (cell(1) + cell(first) + cell(16) for first in asked)
        return b"".join(self.board.tpm.execute(command(0x17A, each)) for each in words)

    def esm(
        self, kbase: int = KBASE, tree: int = TREE_AT, msr: int = MSR_SF | MSR_LE
    ) -> End:
        """The whole call."""
        return self.begin(kbase, tree, msr).finish()

    @property
    def r3(self) -> int:
        return signed(self.vm.cpu.gpr[3])

    def sc2(self, *words: int) -> tuple[int, ...]:
        """An ultra-call of the VM with what it has in r3 and on: r3 to r12 after it."""
        cpu = self.vm.cpu
        cpu.gpr[3:13] = [*words, *[0] * (10 - len(words))]
        self.running.sc(2)
        return signed(cpu.gpr[3]), *cpu.gpr[4:13]

    def hv(self, call: int, *words: int) -> int:
        """An ultra-call of the hypervisor: r3."""
        assert self.kvm.gate is not None
        return self.kvm.gate(call, *words)[0]

    def load_key(self, name: str) -> World:
        """The TPM's wrapping key is one of the vectors', with our password."""
        answer = self.board.tpm.execute(_load_external(name, self.machine))
        assert rc_of(answer) == 0, hex(rc_of(answer))
        size = int.from_bytes(answer[14:16], "big")
        self.uv.machine = replace(
            self.machine,
            wrapping_key_handle=int.from_bytes(answer[10:14], "big"),
            wrapping_key_password=PASSWORD,
            wrapping_key_name=answer[16 : 16 + size],
        )
        return self

    @property
    def blank(self) -> bool:
        """Whether no byte is left in secure memory that is handed out to VMs."""
        return self.secure_bytes() == BLANK

    def secure_bytes(self) -> bytes:
        """Secure memory from its first page that is handed out, as much as a VM has."""
        start = self.board.secure.reserved
        return self.board.secure.read(SECURE_BIT | start, len(BLANK))


@dataclass(slots=True, kw_only=True)
class Toucher(EarlyBoot):
    """Reads one byte of its memory, and is done."""

    address: int

    def run(self, cpu: CpuState, memory: GuestMemory, journal: Journal) -> Sc | None:
        memory.read(self.address, 1)
        return None


def touching(address: int) -> Toucher:
    """A guest that touches its memory there when it runs."""
    return Toucher(placement=PLACED, address=address)


@cache
def private_key(name: str) -> RSAPrivateKey:
    key = load_pem_private_key(vector(f"keys/{name}.sec.pem"), None)
    assert isinstance(key, RSAPrivateKey)
    return key


def _load_external(name: str, machine: UvTpm) -> bytes:
    """A wrapping key as OPAL makes it, into the null hierarchy: one boot long."""
    numbers = private_key(name).private_numbers()
    branches = machine.wrapping_key_policy_a + machine.wrapping_key_policy_b
    public = bytes.fromhex("0001000b00020420") + two_b(policy_or(branches))
    public += bytes.fromhex("0010 0017 000b 0800 00000000")
    public += two_b(numbers.public_numbers.n.to_bytes(256, "big"))
    private = b"\0\1" + two_b(PASSWORD) + two_b(b"")
    private += two_b(numbers.p.to_bytes(128, "big"))
    return command(0x167, two_b(private) + two_b(public) + cell(0x40000007))


def policy_or(branches: bytes) -> bytes:
    return sha256(bytes(32) + b"\0\0\1\x71" + branches).digest()


def entered(end: End | None) -> bool:
    """Whether the VM became a secure one."""
    return isinstance(end, Entered)


def refusal(end: End) -> tuple[int, str]:
    """Step and name of why it did not."""
    assert not isinstance(end, Entered)
    return end.reason.step, end.reason.name


def only(number: HCall, *answer: int) -> Callable[..., tuple[int, ...] | None]:
    """A hypervisor that answers one hypercall so, and does nothing."""

    def instead(
        _honest: Any, _lpid: int, called: int, _args: Any
    ) -> tuple[int, ...] | None:
        return answer if called == number else None

    return instead
