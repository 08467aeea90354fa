"""VMs as the vectors have them, with blobs, or operands sealed for one machine."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from typing import Any, Final

from esm_kit import SEALED_DATA, VECTORS, operand_bytes
from pef_tpm_kit import seal
from pefstack import Machine
from pefstack.firmware.virtualization import Virtualization
from pefstack.images.fdt import Fdt, FdtNode
from pefstack.images.uv_tpm import UvTpm
from tpm_client_kit import two_b

PAGE: Final = 0x10000
MEMORY: Final = 8 << 20
BLANK: Final = bytes(MEMORY + 32 * PAGE)
KBASE: Final = 0x10000
TREE_AT: Final = 0x200000
INITRD_AT: Final = 0x300000
OPERAND_AT: Final = 0x400000  # of ours; the vectors' wrapper has 0x580000
RTAS_AT: Final = 0x600000
RTAS_TEXT: Final = bytes.fromhex("7c641b783c6000006063f000440000224e800020")
LINE: Final = b"init=/bin/sh svm=1\0"
SHARED_AT: Final = MEMORY - 8 * PAGE  # six pages for RTAS, two for the TPM
PASSWORD: Final = bytes(range(0x41, 0x51))


def vector(name: str) -> bytes:
    """A file of the vectors."""
    return (VECTORS / name).read_bytes()


@cache
def new_machine() -> Machine:
    """Its ultravisor runs, its hypervisor has made no VM yet; to be forked."""
    return Machine("svm").run(until="ultravisor")


def handed_over() -> UvTpm:
    """What the ultravisor got from OPAL."""
    running = new_machine().board.running
    assert isinstance(running, Virtualization) and running.ultravisor
    assert running.ultravisor.machine is not None
    return running.ultravisor.machine


@cache
def sealed_slot(data: bytes = SEALED_DATA) -> bytes:
    """A slot of kind 1 that opens on the machine's own TPM, 2048 bytes."""
    taken = handed_over()
    pcr6 = new_machine().pcr(6)
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
    rtas_entry: bytes | None = None
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
        if self.rtas_entry is not None:
            found["linux,rtas-entry"] = self.rtas_entry
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
