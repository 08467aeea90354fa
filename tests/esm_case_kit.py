"""A refusal of UV_ESM as a value: the guest, who meddles, and how the call ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from esm_kit import BLOBS, SEALED_DATA, blob_bytes, operand_bytes
from pefstack.firmware.ultravisor.codes import HCall, UvCall
from pefstack.firmware.ultravisor.effects import Aborted, End, Killed, Refused
from pefstack.hw.cpu import MSR_LE, MSR_SF
from pefstack.images.fdt import Fdt, FdtNode
from uv_guest_kit import KBASE, PAGE, TREE_AT, Guest, archive, ours, v2_guest, vector
from uv_kit import World

Instead = Callable[..., tuple[int, ...] | None]
MSR: Final = MSR_SF | MSR_LE
KEY_A: Final = bytes.fromhex(BLOBS["a"]["master_key"])


@dataclass
class Case:
    """One refusal. ``meanwhile`` happens at the first question of ``at``.

    ``r3``: None where the VM never goes on. ``back``: whether the VM is afterwards a
    normal one with the memory that it had.
    """

    step: int
    name: str
    about: str = ""
    _: KW_ONLY
    guest: Callable[[], Guest] = v2_guest
    profile: str = "strict"
    key: str = ""
    instead: Instead | None = None
    at: int = 0
    meanwhile: Callable[[World], None] | None = None
    kbase: int = KBASE
    tree: int = TREE_AT
    msr: int = MSR
    r3: int | None = -4
    back: bool = True

    @property
    def again(self) -> bool:
        """Whether a correct call is made afterwards; one operand stands for all."""
        return self.back and ".bin" not in self.about

    @property
    def kind(self) -> type[Refused | Aborted | Killed]:
        """How the call ends (esm.md 2.1 to 2.3)."""
        if self.name == "terminated":
            return Aborted
        if self.step < 8:
            return Refused
        return Killed if self.step > 21 else Aborted

    @property
    def id(self) -> str:
        return f"{self.step}-{self.name}{'-' * bool(self.about)}{self.about}"

    def world(self) -> World:
        """Before the call."""
        world = World(self.profile, self.instead)
        if self.key:
            world.load_key(self.key)
        world.place(self.guest())
        if not self.at and self.meanwhile:
            self.meanwhile(world)
        return world

    def run(self, world: World) -> End:
        """The call, and how it ended."""
        world.begin(self.kbase, self.tree, self.msr)
        if self.at and self.meanwhile:
            world.until(self.at)
            self.meanwhile(world)
        return world.finish()


def v1(initrd: str) -> Callable[[], Guest]:
    """A guest of the vectors for the real machines."""
    return lambda: Guest(initrd=vector(initrd))


def case(initrd: str) -> Callable[[], Guest]:
    return v1(f"cases/{initrd}.initrd")


def changed_blob(*path: str, **values: bytes | None) -> Callable[[], Guest]:
    """Blob A with other properties in one node; None takes one away."""
    return lambda: _with_blob(_edited(_blob(), path, values))


def digests(raw: bytes) -> Callable[[], Guest]:
    """Blob A with another digest tree, well encrypted."""

    def made() -> Guest:
        sealed, iv = AESGCM(KEY_A).encrypt(bytes(16), raw, None), bytes(16)
        values = {"ciphertext": sealed[:-16], "mac": sealed[-16:], "iv": iv}
        return _with_blob(_edited(_blob(), ("digest", "digests-fdt"), values))

    return made


def _blob() -> FdtNode:
    return Fdt.from_bytes(blob_bytes("a")).root


def _with_blob(root: FdtNode) -> Guest:
    raw = archive(Fdt(root=root).to_bytes())
    return Guest(initrd=raw + vector("in/initrd-a.cpio"))


def _edited(node: FdtNode, path: tuple[str, ...], values: Any) -> FdtNode:
    if path:
        children = tuple(
            _edited(each, path[1:], values) if each.name == path[0] else each
            for each in node.children
        )
        assert children != node.children
        return replace(node, children=children)
    kept = {**dict(node.properties), **values}
    left = tuple((name, value) for name, value in kept.items() if value is not None)
    return replace(node, properties=left)


def operand(name: str, data: bytes = SEALED_DATA) -> Callable[[], Guest]:
    """An operand of the vectors as it is, or with sealed data for this machine."""
    return lambda: Guest(operand=ours(operand_bytes(name), data))


def raw_operand(name: str) -> Callable[[], Guest]:
    return lambda: Guest(operand=operand_bytes(name))


def having(**values: Any) -> Callable[[], Guest]:
    """The good guest but for this."""
    return lambda: v2_guest(**values)


def refusing(
    number: HCall, status: int, page: int | None = None, shared: int | None = None
) -> Instead:
    """Answers so, of one page or of all, shared ones or others; does nothing."""

    def instead(_honest: Any, _lpid: int, called: int, args: Any) -> Any:
        if called != number:
            return None
        if called != HCall.SVM_PAGE_IN:
            return (status,)
        right = shared in (None, args[1]) and page in (None, args[0])
        return (status,) if right else None

    return instead


def liar(number: HCall, status: int) -> Instead:
    """Does its work and says that it did not."""

    def instead(honest: Any, _lpid: int, called: int, _args: Any) -> Any:
        if called != number:
            return None
        honest()
        return (status,)

    return instead


def terminating(world: World) -> None:
    world.hv(UvCall.SVM_TERMINATE, world.vm.lpid)


def unregistering(world: World) -> None:
    world.hv(UvCall.UNREGISTER_MEM_SLOT, world.vm.lpid, 0)


def full(pages: int) -> Callable[[World], None]:
    return lambda world: world.leave_free(pages)


def nobody(world: World) -> None:
    """The machine's TPM was not prepared."""
    world.uv.machine = None


def lpid_0(world: World) -> None:
    world.vm.lpid = 0
    world.kvm.vms[0] = world.vm


def listening(world: World) -> None:
    """The answer to the first TPM command has one bit changed in the key's public."""
    execute = world.board.tpm.execute

    class Relay:
        def execute(self, command: bytes) -> bytes:
            answer = bytearray(execute(command))
            answer[40] ^= 1
            return bytes(answer)

    world.kvm.relay = Relay()


def no_tree(world: World) -> None:
    world.write(TREE_AT, b"\xff" * 4)


def twice(world: World) -> None:
    """A second /chosen, with a command line of its own."""
    root = Fdt.from_bytes(v2_guest().tree()).root
    second = FdtNode(name="chosen", properties=(("bootargs", b"evil\0"),))
    other = replace(root, children=(*root.children, second))
    world.write(TREE_AT, Fdt(root=other).to_bytes())


def large_tree(world: World) -> None:
    world.write(TREE_AT + 4, (0x100001).to_bytes(4, "big"))


def other_tree(**fields: int) -> Callable[[World], None]:
    from fdt_kit import with_words

    def change(world: World) -> None:
        size = int.from_bytes(world.read(TREE_AT + 4, 4), "big")
        world.write(TREE_AT, with_words(world.read(TREE_AT, size), fields))

    return change


def tight() -> Guest:
    """The tree fills its page to the last word: no reserve entry more goes in."""
    room = PAGE - len(v2_guest().tree())
    return v2_guest(filler=room // 4 * 4)


def edited_file(letter: str, name: str, **values: bytes) -> Guest:
    """The guest of a blob, one of its attachments with other properties."""
    root = Fdt.from_bytes(blob_bytes(letter)).root
    files = next(each for each in root.children if each.name == "file")
    tree = Fdt.from_bytes(files.value("files-fdt")).root
    changed = Fdt(root=_edited(tree, ("files", name), values)).to_bytes()
    raw = Fdt(root=_edited(root, ("file",), {"files-fdt": changed})).to_bytes()
    return Guest(
        kernel=vector(f"in/vmlinux-{letter}.bin"),
        initrd=archive(raw) + vector(f"in/initrd-{letter}.cpio.xz"),
        bootargs=b"  root=/dev/vda1   svm=on\tconsole=hvc0 \0",
    )
