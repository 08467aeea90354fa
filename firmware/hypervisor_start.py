"""The hypervisor starts, with MSR S = 0, and makes the machine's first VM.

Its code is the partition BOOTKERNEL, which OPAL verified and measured. What it loads
into the VM nobody verifies: the operand or blob in it does, later (esm.md 2).
"""

from __future__ import annotations

from typing import Final

from pefstack.firmware import guest_start
from pefstack.firmware.guest.early_boot import EarlyBoot
from pefstack.firmware.guest.place import place
from pefstack.firmware.hypervisor.kvm import Hypervisor
from pefstack.firmware.stage import BootFailure, Refusal, Stage
from pefstack.firmware.virtualization import NormalGuestMemory, Virtualization
from pefstack.hw.board import Board
from pefstack.hw.errors import DeviceError
from pefstack.hw.guest_spec import GuestImages, GuestSpec
from pefstack.hw.mapping import SettingError
from pefstack.hw.secure_memory import HypervisorMemory
from pefstack.images.errors import FormatError

STAGE: Final = "hypervisor"
RNG_SEED_SIZE: Final = 32
_MEND: Final = (
    "give the VM a kernel that fits its memory: machine.guest.memory, [image.guest], "
    "or --kernel, --initrd, --zimage"
)


def new_hypervisor(board: Board) -> Hypervisor:
    """An honest one: TPM commands reach the TPM as they are."""
    return Hypervisor(HypervisorMemory(board.memory), board.tpm, board.journal)


def run(board: Board) -> Stage:
    """Refuses images that cannot be placed."""
    running = board.running
    if not isinstance(running, Virtualization):  # PEF is off
        running = Virtualization(board=board, hypervisor=new_hypervisor(board))
        board.running = running
    spec, images = board.spec.guest, board.guest_images
    if spec is None or images is None:
        raise _failure("there is no kernel")
    try:
        _start_vm(board, running, spec, images)
    except (DeviceError, FormatError, SettingError) as wrong:
        raise _failure(str(wrong)) from None
    return guest_start.run


def _start_vm(
    board: Board, running: Virtualization, spec: GuestSpec, images: GuestImages
) -> None:
    vm = running.hypervisor.create_vm(spec.memory, spec.cpus)
    memory = NormalGuestMemory(running.hypervisor.memory, vm)
    seed = board.entropy.random_bytes(RNG_SEED_SIZE)
    placed = place(memory, spec, images, rng_seed=seed)
    running.vm, running.guest = vm, EarlyBoot(placement=placed)
    running.guest.start(vm.cpu)
    board.journal.add(
        STAGE,
        "vm-loaded",
        lpid=vm.lpid,
        kbase=placed.kbase,
        kernel_size=placed.kernel_size,
        initrd_size=len(placed.initrd or ()),
        fdt=placed.fdt_address,
    )


def _failure(reason: str) -> BootFailure:
    return BootFailure(STAGE, Refusal.GUEST_IMAGES, f"VM not loaded: {reason}", _MEND)
