"""A secure VM under a hypervisor that wants to know what is in it (P23, P24)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pytest

from pefstack.firmware.guest.early_boot import Phase
from pefstack.firmware.hypervisor.kvm import Hypervisor
from pefstack.firmware.hypervisor.vm import Vm
from pefstack.firmware.ultravisor.codes import (
    PAGE_SHIFT,
    PAGE_SIZE,
    HCall,
    UvCall,
    UvStatus,
)
from pefstack.firmware.ultravisor.files import name_words
from pefstack.firmware.ultravisor.svm import PageState
from pefstack.hw.secure_memory import SecureFault
from secret_kit import (
    PASSPHRASE,
    Watched,
    asking,
    running,
    secure_content,
    secure_places,
    uv_of,
)
from secret_search import in_bytes, pages
from secret_svm_kit import (
    LPID,
    SECRETS,
    call,
    hypervisor_of,
    secret_pages,
    secure,
    vm_of,
)

MACHINES: Final = ["svm", "svm-v1"]


@pytest.mark.parametrize("name", [*MACHINES, "svm-v1-strict"])
def test_p23_the_secrets_are_the_svms_alone(name: str) -> None:
    """They are in its memory, and nowhere else."""
    watched = secure(name)
    assert running(watched.machine).vm_secure
    inside = secure_content(watched.machine)
    assert {each.secret for each in in_bytes("", inside, SECRETS)} == set(SECRETS)
    assert watched.found() == []


@pytest.mark.parametrize("how", ["terminate", "destroy", "power", "kill"])
@pytest.mark.parametrize("name", MACHINES)
def test_p23_at_its_end_an_svm_leaves_nothing(name: str, how: str) -> None:
    watched = secure(name)
    machine = watched.machine
    if how == "terminate":
        assert call(watched, UvCall.SVM_TERMINATE, LPID) == (UvStatus.SUCCESS,)
    elif how == "destroy":
        hypervisor_of(watched).destroy_vm(LPID)
    elif how == "power":
        machine.power_cycle()
    else:
        call(watched, UvCall.WRITE_PATE, LPID, 0, 0)
        running(machine)._kill(vm_of(watched), "made up")
    assert secure_content(machine) == b""
    assert machine.board.secure.used_pages == 0
    if how != "power":
        assert watched.found() == []
        assert uv_of(machine).svms == {}


def test_p23_a_memory_preserving_ipl_wipes_what_svms_had() -> None:
    """Memory stays, and nobody has those pages any more: the ultravisor that starts
    gives none of them to anybody as they are."""
    machine = secure().machine
    used = machine.board.secure.used_pages
    before = secure_places(machine)
    machine.memory_preserving_ipl().run(until="ultravisor")
    assert len(before) > 1000
    assert secure_content(machine) == b""
    machine.run()
    assert running(machine).vm_secure
    assert machine.board.secure.used_pages == used


def test_p23_no_secure_page_can_be_read_or_written() -> None:
    watched = secure()
    memory = hypervisor_of(watched).memory
    before = secure_content(watched.machine)
    for address in secure_places(watched.machine):
        for at, size in ((address, 8), (address - 4, 8), (address, PAGE_SIZE)):
            with pytest.raises(SecureFault):
                memory.read(at, size)
            with pytest.raises(SecureFault):
                memory.write(at, bytes(size))
    assert secure_content(watched.machine) == before


def test_p23_the_page_that_stands_for_a_secure_one_holds_nothing() -> None:
    """What KVM reads of a guest's page is its own page, blank since the VM is secure;
    the guest's page does not come out."""
    watched = secure()
    vm = vm_of(watched)
    for number in secret_pages(watched):
        found = hypervisor_of(watched).read_guest(vm, number << PAGE_SHIFT, PAGE_SIZE)
        assert not any(found)
    assert watched.found() == []


@pytest.mark.parametrize("name", MACHINES)
def test_p23_kernel_and_initramfs_are_gone_from_normal_memory(name: str) -> None:
    """Of every page that only the VM has a part is looked for, but of RTAS."""
    watched = secure(name)
    machine = watched.machine
    outside = pages(machine.board.memory)
    (svm,) = uv_of(machine).svms.values()
    looked = 0
    for page in svm.pages.values():
        if page.state is PageState.SECURE and page.secure:
            content = machine.board.secure.read(page.secure, PAGE_SIZE).strip(b"\0")
            if len(content) >= 32:
                looked += 1
                middle = len(content) // 2
                assert content[:32] not in outside
                assert content[middle : middle + 16] not in outside
    assert looked >= 13  # kernel, initramfs, device tree, secrets


class Hoarding(Hypervisor):
    """Gives no page back when a VM became secure."""

    __slots__ = ()

    def forget(self, vm: Vm, number: int, count: int = 1) -> None:
        del vm, number, count


def test_p23_a_hypervisor_that_keeps_its_copies_learns_nothing_later() -> None:
    machine = asking()
    software = running(machine)
    old = software.hypervisor
    software.hypervisor = Hoarding(old.memory, old.relay, old.journal, vms=old.vms)
    software._wire()
    watched = Watched(machine).run()
    assert software.vm_secure
    kernel = machine.board.memory.read(vm_of(watched).real(0x40_0000), 64)
    assert any(kernel)
    assert watched.found() == []


def test_p23_a_page_with_a_secret_is_blank_when_it_is_shared() -> None:
    watched = secure()
    machine, vm = watched.machine, vm_of(watched)
    (number,) = secret_pages(watched)
    real = uv_of(machine).svms[LPID].pages[number].secure
    vm.cpu.gpr[3:6] = [UvCall.SHARE_PAGE, number, 1]
    running(machine).sc(2)
    assert vm.cpu.gpr[3] == 0
    assert uv_of(machine).svms[LPID].pages[number].state is PageState.SHARED
    shared = machine.board.memory.read(vm.real(number << PAGE_SHIFT), PAGE_SIZE)
    assert not any(shared)
    assert not any(machine.board.secure.read(real, PAGE_SIZE))
    assert watched.found() == []


class Curious(Hypervisor):
    """Looks at a VM's registers in every hypercall."""

    __slots__ = ()
    SEEN: Final[list[Any]] = []

    def hypercall(
        self, lpid: int, number: int, args: Sequence[int] = ()
    ) -> tuple[int, ...]:
        cpu = self.vms[lpid].cpu
        self.SEEN.append([list(cpu.gpr), cpu.nia, cpu.msr, list(args)])
        return Hypervisor.hypercall(self, lpid, number, args)


@pytest.mark.parametrize("level", [1, 2])
def test_p23_registers_stay_behind_in_a_call(level: int) -> None:
    """Number and arguments of a hypercall are told, nothing else; and of an ultra-call
    that needs the hypervisor not even these."""
    watched = secure()
    machine = watched.machine
    software = running(machine)
    old = software.hypervisor
    Curious.SEEN.clear()
    software.hypervisor = Curious(old.memory, old.relay, old.journal, vms=old.vms)
    software._wire()
    cpu = vm_of(watched).cpu
    words = [int.from_bytes(PASSPHRASE[at : at + 8], "big") for at in (0, 8, 16)]
    cpu.gpr[14:17], cpu.gpr[0:2] = words, words[:2]
    number = secret_pages(watched)[0]
    args = (HCall.RTAS, 0x77) if level == 1 else (UvCall.SHARE_PAGE, number, 1)
    cpu.gpr[3 : 3 + len(args)] = args
    software.sc(level)
    assert Curious.SEEN
    told = 0x77 if level == 1 else number << PAGE_SHIFT
    assert Curious.SEEN[0][3][0] == told
    seen = {word for found in Curious.SEEN for word in (*found[0], *found[3])}
    assert not seen & set(words)
    assert vm_of(watched).cpu is cpu
    assert cpu.gpr[14:17] == words


@pytest.mark.parametrize(
    ("how", "end"),
    [
        ((UvCall.SVM_TERMINATE, LPID), "os-term"),
        ((UvCall.UNREGISTER_MEM_SLOT, LPID, 0), "svm-killed"),
    ],
)
def test_p23_the_registers_of_a_vm_that_is_killed_are_wiped(
    how: tuple[int, ...], end: str
) -> None:
    """The hypervisor ends it while it reads its secrets, or takes its memory."""
    machine = asking()
    watched = Watched(machine)
    guest = running(machine).guest
    assert guest is not None
    watched.run(lambda: guest.phase is Phase.READING)
    cpu = vm_of(watched).cpu
    words = [int.from_bytes(PASSPHRASE[at : at + 8], "big") for at in (0, 8, 16)]
    assert cpu.gpr[4:7] == words
    cpu.gpr[14:17] = words
    assert call(watched, *how) == (UvStatus.SUCCESS,)
    watched.run()
    assert end in [each.kind for each in machine.journal]
    assert watched.found() == []
    assert secure_content(machine) == b""


def test_p23_files_are_given_to_the_svm_alone() -> None:
    """A hypervisor, a normal VM, another VM and one in transition get a status."""
    asked = (UvCall.ESMB_GET_FILE, 0, *name_words("rootfs-passphrase"))
    watched = secure()
    assert call(watched, *asked) == (UvStatus.PERMISSION,)
    other = hypervisor_of(watched).create_vm(1 << 20)
    software = running(watched.machine)
    software.vm = other
    other.cpu.gpr[3:13] = asked[:10]
    software.sc(2)
    assert other.cpu.gpr[3] == UvStatus.PERMISSION & (1 << 64) - 1
    early = Watched(asking())
    statuses = []
    early.before = lambda _: statuses.append(call(early, *asked))
    early.run()
    assert set(statuses) == {(UvStatus.PERMISSION,)}
