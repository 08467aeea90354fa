"""A machine with its VM loaded, svm-real or a made-up one, and ways to change it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from interop import INITRAMFS, KERNEL, need_file
from pefstack import Machine
from pefstack.firmware.guest.place import Placement
from pefstack.firmware.hypervisor.kvm import Hypervisor
from pefstack.firmware.hypervisor.vm import Vm
from pefstack.firmware.ultravisor.codes import PAGE_SHIFT, PAGE_SIZE, UvCall
from pefstack.firmware.ultravisor.effects import Aborted, Entered
from pefstack.firmware.ultravisor.esm_state import EsmState
from pefstack.firmware.ultravisor.guest_memory import SecureGuestMemory
from pefstack.firmware.virtualization import Virtualization
from pefstack.hw.guest_spec import GuestImages
from pefstack.images.fdt import Fdt
from pefstack.images.initramfs import find_blob

REAL: Final = Path(__file__).parents[1] / "machines" / "real" / "svm-real.toml"
LINE: Final = b"console=hvc0 svm=on"
PASSPHRASE: Final = b"made-up root-disk passphrase"
NAME: Final = "rootfs-passphrase"
SPARE: Final = 0x3000_0000  # a normal page that is nobody's
V1: Final = (
    "image.guest.format=v1",
    "image.guest.security-version=0",
    "image.guest.minimum-version=0",
)
PROFILES: Final = {
    "v2": (),
    "v1-real": (*V1, "machine.pef.provision=real", "machine.pef.esm=real"),
    "v1-strict": V1,
}


# name of each part in operand and blob, by that of the blob's digest
WORDS: Final = {
    "kernel": ("kernel", "kernel"),
    "initrd": ("initramfs", "initrd"),
    "bootargs": ("command line", "bootargs"),
    "rtas": ("RTAS", "rtas"),
}
WHERE: Final = ("first", "middle", "last")
BYTES: Final = [(part, at) for part in WORDS for at in WHERE]


def real_machine(settings: Sequence[str] = ()) -> Machine:
    """Switched off; skipped without Debian's files."""
    kernel = need_file(KERNEL, "of Debian: make kernel")
    initrd = need_file(INITRAMFS, "of Debian: machines/real/fetch-initramfs.sh")
    files = (f"image.guest.kernel.file={kernel}", f"image.guest.initrd.file={initrd}")
    return Machine(REAL, settings=[*files, *settings])


@dataclass
class LoadedGuest:
    """A VM whose images lie in its memory; it has not made the ultra-call yet."""

    machine: Machine
    format: str

    @classmethod
    def loaded(
        cls, machine: Machine, form: str, images: GuestImages | None = None
    ) -> LoadedGuest:
        """Boot a machine, on other images if there are some, until its VM is loaded.

        ``form``: v1 or v2, what is sealed for it.
        """
        if images is not None:
            machine.board.guest_images = images
        return cls(machine.run(until="hypervisor"), form)

    def fork(self) -> LoadedGuest:
        """The same with a future of its own."""
        return LoadedGuest(self.machine.fork(), self.format)

    @property
    def running(self) -> Virtualization:
        running = self.machine.board.running
        assert isinstance(running, Virtualization)
        return running

    @property
    def vm(self) -> Vm:
        assert self.running.vm is not None
        return self.running.vm

    @property
    def place(self) -> Placement:
        assert self.running.guest is not None
        return self.running.guest.placement

    def part(self, name: str) -> range:
        """Guest addresses of what is measured, by the names of the blob's digests."""
        place = self.place
        if name == "kernel":
            return range(place.kbase, place.kbase + place.kernel_size)
        if name == "rtas":
            return range(place.rtas_base, place.rtas_base + 20)
        if name == "bootargs":
            tree = self.normal(place.fdt.start, len(place.fdt))
            start = place.fdt.start + tree.index(LINE + b"\0")
            return range(start, start + len(LINE))
        assert place.initrd is not None
        whole, archive = place.initrd, 0
        if place.esm_blob is None:
            archive = find_blob(self.normal(whole.start, len(whole))).archive_size
        return range(whole.start + archive, whole.stop)

    def byte(self, part: str, at: str) -> int:
        """Guest address of one byte of a part, by `WHERE`."""
        where = self.part(part)
        return {"first": where[0], "middle": where[len(where) // 2]}.get(at, where[-1])

    def normal(self, gpa: int, size: int) -> bytes:
        """What lies in the hypervisor's page, from a guest address on."""
        return self.running.hypervisor.memory.read(self.vm.real(gpa), size)

    def put(self, gpa: int, data: bytes) -> None:
        """The hypervisor writes into its own page."""
        self.running.hypervisor.memory.write(self.vm.real(gpa), data)

    def flip(self, gpa: int) -> None:
        """One bit of one byte, by the hypervisor."""
        self.put(gpa, bytes([self.normal(gpa, 1)[0] ^ 0x20]))

    def run(self) -> LoadedGuest:
        """To the end of the boot."""
        self.machine.run()
        return self

    def run_until(self, there: Callable[[EsmState], bool]) -> LoadedGuest:
        """Into UV_ESM, until its state is one of these."""
        uv, running = self.running.ultravisor, self.running
        assert uv is not None
        while running.step():
            state = uv.calls.get(self.vm.lpid)
            if state is not None and there(state):
                return self
        raise AssertionError(f"UV_ESM ended before: {running.end}")

    @property
    def state(self) -> EsmState:
        """That of the call that goes on."""
        assert self.running.ultravisor is not None
        return self.running.ultravisor.calls[self.vm.lpid]

    def secure(self, gpa: int, size: int) -> bytes:
        """What the secure VM itself has at a guest address."""
        assert self.running.ultravisor is not None
        return SecureGuestMemory(self.running.ultravisor, self.vm.lpid).read(gpa, size)

    @property
    def bootargs(self) -> bytes:
        """The command line in the tree that the secure VM has."""
        start = self.place.fdt_address
        size = int.from_bytes(self.secure(start + 4, 4), "big")
        tree = Fdt.from_bytes(self.secure(start, size))
        return tree.node("/chosen").value("bootargs")

    def hands_over(self, number: int, content: bytes) -> None:
        """From now on the hypervisor hands over another page for that one."""
        running, other = self.running, Substituting.of(self.running.hypervisor)
        other.number = number
        other.memory.write(SPARE, content)
        running.hypervisor = other
        assert running.ultravisor is not None
        other.gate, running.ultravisor.hypervisor = _gate(running), other.hypercall

    def check_secure(self) -> None:
        """The VM is a secure one and has its passphrase, in its own memory alone."""
        guest = self.running.guest
        assert isinstance(self.running.end, Entered)
        assert self.running.vm_secure
        assert guest is not None
        where = guest.secrets[NAME]
        assert self.secure(where.start, len(where)) == PASSPHRASE
        assert self.normal(where.start, len(where)) == bytes(len(where))

    def check_refused(self, part: str) -> None:
        """At step 18, because of this part alone; the guest has -4 and nothing else."""
        guest, end = self.running.guest, self.running.end
        operand, blob = WORDS[part]
        name, word = (
            ("B_DIGEST", blob) if self.format == "v1" else ("E_DIGEST", operand)
        )
        assert isinstance(end, Aborted)
        assert (end.reason.step, end.reason.name, end.status) == (18, name, -4)
        assert f"found another {word}, expected" in end.reason.text
        assert guest is not None
        assert guest.message == "Returned -4 from switching to secure mode."
        assert not guest.secrets
        assert not self.running.vm_secure
        assert self.machine.board.secure.used_pages == 0


class Substituting(Hypervisor):
    """Hands over a page of its own for one guest page; no file is touched."""

    __slots__ = ("number",)
    number: int

    @classmethod
    def of(cls, honest: Hypervisor) -> Substituting:
        """With the VMs of an honest one."""
        return cls(**{each.name: getattr(honest, each.name) for each in fields(honest)})

    def ultracall(self, call: UvCall, *args: int) -> int:
        if call is UvCall.PAGE_IN and page_of(args[2]) == self.number:
            args = (args[0], SPARE, *args[2:])
        return super().ultracall(call, *args)


def _gate(running: Virtualization) -> Callable[..., tuple[int, ...]]:
    gate = running.hypervisor.gate
    assert gate is not None
    return gate


def page_of(gpa: int) -> int:
    """The number of the page in which a guest address lies."""
    return gpa >> PAGE_SHIFT


def changed_page(guest: LoadedGuest, gpa: int) -> bytes:
    """The page of a guest address as it lies, but for one bit at that address."""
    page = bytearray(guest.normal(page_of(gpa) << PAGE_SHIFT, PAGE_SIZE))
    page[gpa & PAGE_SIZE - 1] ^= 0x20
    return bytes(page)
