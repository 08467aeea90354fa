"""What a hypervisor, a relay or a careless owner does to a VM that calls UV_ESM."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

from pef_tpm_kit import oaep, seal
from pefstack.firmware.pef_objects import NV_INDEX, storage_policy
from pefstack.firmware.ultravisor.codes import HCall, UvCall
from pefstack.firmware.ultravisor.esm_state import EsmState
from pefstack.firmware.ultravisor.svm import PageState, Svm
from pefstack.hw.errors import DeviceError
from pefstack.images.esm_blob import EsmBlob
from pefstack.images.esm_operand import HEADER_SIZE as OPERAND_HEADER
from pefstack.images.esm_operand_keys import crypt_block, encryption_key
from pefstack.images.esm_operand_payload import PayloadHeader
from pefstack.images.esm_operand_slot import SLOT_SIZE
from pefstack.images.fdt import Fdt
from pefstack.images.fdt_node import FdtNode
from pefstack.images.initramfs import find_blob
from secret_kit import Watched, caller_changed, opened, running, uv_of
from tpm_client_kit import two_b
from tpm_kit import command

# the guest in normal memory, before its pages are taken


def real(watched: Watched, gpa: int) -> int:
    vm = running(watched.machine).vm
    assert vm is not None
    return vm.real(gpa)


def read(watched: Watched, where: range) -> bytes:
    return watched.machine.board.memory.read(real(watched, where.start), len(where))


def write(watched: Watched, gpa: int, data: bytes) -> None:
    watched.machine.board.memory.write(real(watched, gpa), data)


def places(watched: Watched) -> tuple[range, range, int]:
    """Device tree, initramfs, kernel."""
    guest = running(watched.machine).guest
    assert guest is not None
    placed = guest.placement
    assert placed.initrd is not None
    return placed.fdt, placed.initrd, placed.kbase


def in_tree(old: bytes, new: bytes, watched: Watched) -> None:
    """Other bytes of the same number in the guest's device tree."""
    where = places(watched)[0]
    raw = read(watched, where)
    assert old in raw
    assert len(old) == len(new)
    write(watched, where.start, raw.replace(old, new))


def flipped_kernel(watched: Watched) -> None:
    kbase = places(watched)[2]
    (byte,) = read(watched, range(kbase + 99, kbase + 100))
    write(watched, kbase + 99, bytes([byte ^ 1]))


def sealed_place(watched: Watched) -> range:
    """Where blob or operand lies in the guest's memory."""
    where = places(watched)[1]
    found = find_blob(read(watched, where))
    return range(where.start + found.offset, where.start + found.offset + found.room)


def flipped_sealed(offset: int, watched: Watched) -> None:
    """One bit of blob or operand, from its start or from its end."""
    where = sealed_place(watched)
    at = where.start + offset if offset >= 0 else operand_end(watched) + offset
    (byte,) = read(watched, range(at, at + 1))
    write(watched, at, bytes([byte ^ 1]))


def flipped_payload(watched: Watched) -> None:
    """The magic of an operand's payload."""
    raw = read(watched, sealed_place(watched))
    flipped_sealed(int.from_bytes(raw[12:16], "big"), watched)


def operand_end(watched: Watched) -> int:
    where = sealed_place(watched)
    return where.start + int.from_bytes(read(watched, where)[8:12], "big")


# what the hypervisor answers


def answers(number: HCall, status: int, watched: Watched) -> None:
    watched.replies[number] = lambda _: (status,)


def shares_not(count: int, watched: Watched) -> None:
    """Page-in that shares does nothing from the ``count``th on."""
    shared: list[int] = []

    def reply(args: object) -> tuple[int, ...] | None:
        assert isinstance(args, tuple | list)
        if not args[1]:
            return None
        shared.append(args[0])
        return None if len(shared) <= count else (0,)

    watched.replies[HCall.SVM_PAGE_IN] = reply


def gives_not(count: int, watched: Watched) -> None:
    """No page from the ``count``th on."""
    given: list[int] = []

    def reply(args: object) -> tuple[int, ...] | None:
        assert isinstance(args, tuple | list)
        given.append(args[0])
        return None if len(given) <= count else (0,)

    watched.replies[HCall.SVM_PAGE_IN] = reply


def terminates(number: HCall, count: int, watched: Watched) -> None:
    """UV_SVM_TERMINATE in the middle of a call."""
    made: list[int] = []

    def reply(_: object) -> tuple[int, ...] | None:
        made.append(0)
        gate = running(watched.machine).hypervisor.gate
        if len(made) == count and gate is not None:
            gate(UvCall.SVM_TERMINATE, 1)
        return None

    watched.replies[number] = reply


def relay_says(number: int, answer: bytes, watched: Watched) -> None:
    watched.tap.hooks[number] = lambda _: answer


def relay_flips(number: int, watched: Watched) -> None:
    """One bit in the parameters of an answer."""

    def hook(command: bytes) -> bytes:
        answer = bytearray(watched.tap.tpm.execute(command))
        answer[20] ^= 1
        return bytes(answer)

    watched.tap.hooks[number] = hook


def relay_dies(number: int, watched: Watched) -> None:
    def hook(_: bytes) -> bytes:
        raise DeviceError("tpm", 0, "no power")

    watched.tap.hooks[number] = hook


# what the ultravisor has


def of_the_hypervisor(watched: Watched) -> None:
    """The call comes from logical partition 0."""
    caller_changed(watched.machine, lpid=0)
    software, uv = running(watched.machine), uv_of(watched.machine)
    assert software.vm is not None
    software.vm.lpid = 0
    software.hypervisor.vms = {0: software.vm}
    uv.calls = {0: uv.calls[1]}


def has_record(watched: Watched) -> None:
    uv_of(watched.machine).svms[1] = Svm(lpid=1)


def full_from(step: int, watched: Watched) -> None:
    """No secure memory is free from a step on; the machine itself is made so small."""

    def fill(state: EsmState) -> None:
        secure = watched.machine.board.secure
        if state.step == step and secure.free_pages:
            secure._memory.size = secure._next

    watched.before = fill


def no_hand_over(watched: Watched) -> None:
    caller_changed(watched.machine, machine=None)


def with_tree_elsewhere(watched: Watched) -> None:
    """In step 22 the pages of the tree are not the guest's own any more."""
    first = places(watched)[0].start >> 16

    def take(state: EsmState) -> None:
        if state.step == 22:
            uv_of(watched.machine).svms[1].page(first).state = PageState.HV_UNSHARED

    watched.before = take


# sealed anew


def sealed_by_the_relay(data: bytes, watched: Watched) -> None:
    """Anybody can seal to a public key: the slot is another's."""
    machine = watched.machine
    given = uv_of(machine).machine
    assert given is not None
    policy = storage_policy(NV_INDEX, 6, machine.pcr(6))
    sealed = seal(given.storage_key_public, data, policy=policy)
    parts = (sealed.public, sealed.duplicate, sealed.seed)
    body = b"".join(map(two_b, parts))
    start = sealed_place(watched).start + OPERAND_HEADER
    head = read(watched, range(start, start + 40))
    head = head[:4] + len(body).to_bytes(4, "big") + head[8:]
    write(watched, start, (head + body).ljust(SLOT_SIZE, b"\0"))


def in_a_lockbox(data: bytes, watched: Watched) -> None:
    """A slot of kind 2 for the wrapping key, which opens whatever somebody put in."""
    machine = watched.machine
    raw = machine.board.tpm.execute(command(0x173, handles=(0x8180_0001,)))
    public = raw[12 : 12 + int.from_bytes(raw[10:12], "big")]
    body = two_b(oaep(public, data))
    start = sealed_place(watched).start + OPERAND_HEADER
    head = b"\0\2\0\0" + len(body).to_bytes(4, "big") + bytes(32)
    write(watched, start, (head + body).ljust(SLOT_SIZE, b"\0"))


def of_the_owner(floor: int, watched: Watched) -> None:
    """The right seed with another minimum version."""
    seed = opened(watched.machine.name)["seed"]
    sealed_by_the_relay(seed + floor.to_bytes(4, "big") + bytes(4), watched)


def rebuilt(block: int, offset: int, value: bytes, watched: Watched) -> None:
    """Other bytes in the clear of a block, 0 the table, and the HMAC to it."""
    seed = opened(watched.machine.name)["seed"]
    operand = read(watched, sealed_place(watched))
    start, end = (int.from_bytes(operand[at : at + 4], "big") for at in (12, 8))
    payload = bytearray(operand[start:end])
    header = PayloadHeader.from_prefix(bytes(payload))
    key = encryption_key(seed, header)
    first = header.first_block
    where = range(64, first)
    if block:
        table = crypt_block(key, 0, bytes(payload[64:first]))[(block - 1) * 64 :]
        at, size = (int.from_bytes(table[n : n + 4], "big") for n in (4, 8))
        where = range(at, at + size)
    clear = bytearray(crypt_block(key, block, bytes(payload[where.start : where.stop])))
    clear[offset : offset + len(value)] = value
    payload[where.start : where.stop] = crypt_block(key, block, bytes(clear))
    payload[-64:] = hmac.digest(
        opened(watched.machine.name)["HMAC key"], bytes(payload[:-64]), hashlib.sha512
    )
    write(watched, sealed_place(watched).start + start, bytes(payload))


# blobs of the real machines


def with_blob(change: Callable[[Fdt], Fdt], watched: Watched) -> None:
    """Another tree in the same room."""
    where = sealed_place(watched)
    raw = read(watched, where)
    tree, size = Fdt.from_prefix(raw)
    other = change(tree).to_bytes()
    assert len(other) <= size
    other = other[:4] + size.to_bytes(4, "big") + other[8:].ljust(size - 8, b"\0")
    write(watched, where.start, other)


def moved_attachment(name: str, tree: Fdt) -> Fdt:
    """Nothing binds an item to its place: a secret stands where the digests were."""
    blob = EsmBlob.from_bytes(tree.to_bytes(), unfinished=True)
    files = Fdt.from_bytes(blob.files_fdt)
    item = files.node(f"/files/{name}")
    digests = FdtNode(name="digests-fdt", properties=item.properties)
    children = tuple(
        FdtNode(name="digest", children=(digests,)) if each.name == "digest" else each
        for each in tree.root.children
    )
    root = FdtNode(properties=tree.root.properties, children=children)
    return Fdt(root=root, reserve_map=tree.reserve_map)


def flipped_item(member: str, tree: Fdt) -> Fdt:
    """One bit of the digests' ciphertext or tag."""

    def changed(node: FdtNode) -> FdtNode:
        properties = tuple(
            (key, bytes([value[0] ^ 1]) + value[1:] if key == member else value)
            for key, value in node.properties
        )
        return FdtNode(
            name=node.name,
            properties=properties if node.name == "digests-fdt" else node.properties,
            children=tuple(map(changed, node.children)),
        )

    return Fdt(root=changed(tree.root), reserve_map=tree.reserve_map)
