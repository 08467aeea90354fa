"""A guest in memory, read as the ultravisor reads it: by its device tree alone."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from elf_kit import ESM
from pefstack.firmware.guest.place import Placement, place
from pefstack.hw.guest_spec import GuestImages, GuestSpec
from pefstack.hw.memory import Memory
from pefstack.images.esm_blob_refusal import EsmProfile
from pefstack.images.esm_digests import command_line
from pefstack.images.fdt import Fdt, FdtNode


def vector(name: str) -> bytes:
    """A file of the foreign vectors."""
    return (ESM / name).read_bytes()


@dataclass
class Placed:
    """A guest that was placed into memory of its own."""

    kernel: bytes
    initrd: bytes = b""
    spec: GuestSpec = field(default_factory=GuestSpec)
    swapped_blob: bool = False
    rng_seed: bytes = b""
    memory: Memory = field(init=False)
    at: Placement = field(init=False)

    def __post_init__(self) -> None:
        self.memory = Memory(self.spec.memory)
        images = GuestImages(kernel=self.kernel, initrd=self.initrd)
        self.at = place(
            self.memory,
            self.spec,
            images,
            rng_seed=self.rng_seed,
            swapped_blob=self.swapped_blob,
        )

    @property
    def raw_tree(self) -> bytes:
        start = self.at.fdt_address
        size = int.from_bytes(self.memory.read(start + 4, 4), "big")
        return self.memory.read(start, size)

    @property
    def tree(self) -> Fdt:
        return Fdt.from_bytes(self.raw_tree)

    @property
    def chosen(self) -> FdtNode:
        return self.tree.node("/chosen")

    def bounds(self, name: str) -> range:
        """What two properties of /chosen say, of one cell or two."""
        node = self.chosen
        return range(node.number(f"{name}-start"), node.number(f"{name}-end"))

    def lies_at(self, place: range) -> bytes:
        return self.memory.read(place.start, len(place))

    @property
    def rtas(self) -> bytes:
        """The text, as long as the tree says, or else as VOF's is."""
        node = self.tree.node("/rtas")
        has_size = node.get("slof,rtas-size") is not None
        size = node.u32("slof,rtas-size") if has_size else 20
        return self.memory.read(node.u32("linux,rtas-base"), size)

    def digests(self, kernel_size: int, initrd: bytes) -> dict[str, bytes]:
        """SHA-512 of the four parts, of what lies in memory."""
        line = command_line(self.chosen.value("bootargs"), EsmProfile.STRICT)
        kernel = self.memory.read(self.at.kbase, kernel_size)
        parts = {"rtas": self.rtas, "kernel": kernel, "bootargs": line}
        parts["initrd"] = initrd
        return {name: hashlib.sha512(part).digest() for name, part in parts.items()}
