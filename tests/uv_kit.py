"""A machine after its ultravisor started, and VMs of the vectors that make UV_ESM."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from hashlib import sha256
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from esm_kit import SEALED_DATA, VECTORS, operand_bytes
from pef_tpm_kit import seal
from pefstack import Machine
from pefstack.firmware.guest.early_boot import EarlyBoot, Phase
from pefstack.firmware.guest.place import Placement
from pefstack.firmware.hypervisor.kvm import Hypervisor
from pefstack.firmware.hypervisor.vm import Vm
from pefstack.firmware.ultravisor.codes import HCall, UvCall
from pefstack.firmware.ultravisor.effects import End, Entered
from pefstack.firmware.ultravisor.svm import Svm
from pefstack.firmware.ultravisor.ultravisor import Ultravisor
from pefstack.firmware.virtualization import Virtualization
from pefstack.hw.cpu import MSR_LE, MSR_SF, signed
from pefstack.hw.secure_memory import SECURE_BIT, HypervisorMemory
from pefstack.images.esm_blob_refusal import EsmProfile
from pefstack.images.fdt import Fdt, FdtNode
from pefstack.images.uv_tpm import UvTpm
from tpm_client_kit import two_b
from tpm_kit import command, rc_of

PAGE: Final = 0x10000
MEMORY: Final = 8 << 20
KBASE: Final = 0x10000
TREE_AT: Final = 0x200000
INITRD_AT: Final = 0x300000
OPERAND_AT: Final = 0x400000  # of ours; the vectors' wrapper has 0x580000
RTAS_AT: Final = 0x600000
RTAS_TEXT: Final = bytes.fromhex("7c641b783c6000006063f000440000224e800020")
LINE: Final = b"init=/bin/sh svm=1\0"
PASSWORD: Final = bytes(range(0x41, 0x51))
MAGIC: Final = b"ESMO"


def vector(name: str) -> bytes:
    """A file of the vectors."""
    return (VECTORS / name).read_bytes()


@cache
def _machine() -> Machine:
    return Machine("svm").run(until="ultravisor")


@cache
def sealed_slot(data: bytes = SEALED_DATA, machine: UvTpm | None = None) -> bytes:
    """A slot of kind 1 that opens on the machine's own TPM, 2048 bytes."""
    taken = machine or World().machine
    pcr6 = _machine().pcr(6)
    assert taken.storage_key_public[10:42] == policy(pcr6)
    sealed = seal(taken.storage_key_public, data, policy=policy(pcr6))
    body = two_b(sealed.public) + two_b(sealed.duplicate) + two_b(sealed.seed)
    head = b"\0\1\0\0" + len(body).to_bytes(4, "big")
    return (head + taken.storage_key_name[2:] + body).ljust(2048, b"\0")


def policy(pcr6: bytes) -> bytes:
    """PolicySecret(index), then PolicyPCR(6), as the TPM counts (esm.md 4.2)."""
    secret = bytes.fromhex(_SECRET_POLICY)
    selection = bytes.fromhex("00000001000b03400000")
    digest = sha256(pcr6).digest()
    return sha256(secret + b"\0\0\1\x7f" + selection + digest).digest()


_SECRET_POLICY: Final = (
    "85f4d86cc21c8a10aa4ff8ecfbd26aff5e9baa687ddf27dded715d7d30c14a41"
)


def ours(raw: bytes, data: bytes = SEALED_DATA, number: int = 0) -> bytes:
    """An operand with sealed data for the machine in one of its slots."""
    at = 32 + 2048 * number
    return raw[:at] + sealed_slot(data) + raw[at + 2048 :]


def archive(content: bytes, name: str = "opt/ibm/pef/esm") -> bytes:
    """An uncompressed cpio archive with one file, to go before an initramfs."""
    whole = _entry(name, content) + _entry("TRAILER!!!", b"")
    return whole + bytes(-len(whole) % 512)


def _entry(name: str, content: bytes) -> bytes:
    numbers = [0, 0o100644, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0]
    head = "070701" + "".join(f"{each:08X}" for each in numbers) + name + "\0"
    raw = head.encode()
    raw += bytes(-len(raw) % 4) + content
    return raw + bytes(-len(raw) % 4)


def cell(value: int, size: int = 4) -> bytes:
    return value.to_bytes(size, "big")


@dataclass(kw_only=True)
class Guest:
    """A VM as the vectors have it; what is None is left out of the tree.

    ``operand`` lies where /chosen says, as with a boot wrapper.
    """

    kernel: bytes = field(default_factory=lambda: vector("in/vmlinux-a.bin"))
    initrd: bytes | None = field(default_factory=lambda: vector("in/initrd-a.cpio"))
    bootargs: bytes | None = LINE
    operand: bytes | None = None
    operand_at: int = OPERAND_AT
    initrd_at: int = INITRD_AT
    cells: int = 4
    rtas: bytes = RTAS_TEXT
    rtas_text: int | None = 20
    rtas_size: int = 0x1000
    rtas_at: int = RTAS_AT
    reg: bytes = cell(0, 8) + cell(MEMORY, 8)
    reserve: tuple[tuple[int, int], ...] = ()
    boot_cpu: int = 0
    filler: int = 0
    without: tuple[str, ...] = ()

    def tree(self) -> bytes:
        """The device tree in bytes; ``without`` are nodes that are missing."""
        memory = FdtNode(name="memory@0", properties=(("reg", self.reg),))
        rtas = FdtNode(name="rtas", properties=self._rtas())
        chosen = FdtNode(name="chosen", properties=self._chosen())
        children = (memory, rtas, chosen)
        root = FdtNode(
            properties=(("filler", bytes(self.filler)),),
            children=tuple(each for each in children if each.name not in self.without),
        )
        tree = Fdt(root=root, reserve_map=self.reserve, boot_cpuid=self.boot_cpu)
        return tree.to_bytes()

    def _rtas(self) -> tuple[tuple[str, bytes], ...]:
        found = {
            "linux,rtas-base": cell(self.rtas_at),
            "rtas-size": cell(self.rtas_size),
        }
        if self.rtas_text is not None:
            found["slof,rtas-size"] = cell(self.rtas_text)
        return tuple(each for each in found.items() if each[0] not in self.without)

    def _chosen(self) -> tuple[tuple[str, bytes], ...]:
        found = {}
        if self.initrd is not None:
            end = self.initrd_at + len(self.initrd)
            found["linux,initrd-start"] = cell(self.initrd_at, self.cells)
            found["linux,initrd-end"] = cell(end, self.cells)
        if self.bootargs is not None:
            found["bootargs"] = self.bootargs
        if self.operand is not None:
            end = self.operand_at + len(self.operand)
            found["linux,esm-blob-start"] = cell(self.operand_at, self.cells)
            found["linux,esm-blob-end"] = cell(end, self.cells)
        return tuple(found.items())

    def parts(self) -> dict[int, bytes]:
        """What lies where."""
        return {
            KBASE: self.kernel,
            TREE_AT: self.tree(),
            self.initrd_at: self.initrd or b"",
            self.operand_at: self.operand or b"",
            self.rtas_at: self.rtas,
        }


def v2_guest(name: str = "good.bin", **others: Any) -> Guest:
    """A guest with an operand of the vectors, for this machine."""
    return Guest(operand=ours(operand_bytes(name)), **others)


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
        self.whole = of or _machine().fork()
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
        where = Placement(
            kbase=KBASE,
            kernel_size=len(guest.kernel),
            fdt=range(TREE_AT, TREE_AT + PAGE),
            rtas_base=RTAS_AT,
            heap=0x700000,
            bootargs=b"",
        )
        self.running.guest = EarlyBoot(placement=where, phase=Phase.RUNNING)
        return self

    def write(self, gpa: int, data: bytes) -> None:
        """Into the normal memory of the VM."""
        self.board.memory.write(self.vm.base + gpa, data)

    def read(self, gpa: int, size: int) -> bytes:
        """Of the normal memory of the VM."""
        return self.board.memory.read(self.vm.base + gpa, size)

    def all_memory(self) -> bytes:
        return self.read(0, self.vm.size)

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

    def secure_bytes(self) -> bytes:
        """Secure memory from its first page that is handed out, as much as a VM has."""
        start = self.board.secure.reserved
        return self.board.secure.read(SECURE_BIT | start, MEMORY + 32 * PAGE)


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


def entered(end: End) -> bool:
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
