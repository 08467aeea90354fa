"""ESM blob: the digest tree, and what the command line of a guest is (esm.md 1.4)."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from hmac import compare_digest
from typing import Final

from pefstack.images.esm_blob_refusal import (
    BlobError,
    BlobRefusal,
    EsmProfile,
    check_size,
    find_node,
    read_tree,
)
from pefstack.images.fdt import Fdt
from pefstack.images.fdt_node import FdtNode

COMPATIBLE: Final = "ibm,esm"
ALGORITHM: Final = "SHA512"
DIGEST_SIZE: Final = 64
MAX_TREE_SIZE: Final = 4096
PARTS: Final = ("rtas", "kernel", "initrd", "bootargs")  # in the order of comparison
RTAS_DIGEST: Final = bytes.fromhex(
    "189698638580422ea58a0968ecce2436daeb2c91a339c14b0ab2bc623c1649fe"
    "274074a4a92679dc61e5528d68778ba3c82f1b1f7e9a5958238b80497fc37f48"
)
"""SHA-512 of the RTAS text that all known guests have, 20 bytes of code."""

_ORDER: Final = ("bootargs", "initrd", "kernel-size", "kernel", "rtas")
_NAMES: Final = ("compatible", "algorithm", *reversed(_ORDER))  # as IBM's tool
_HIDDEN: Final = "something else"
_WRONG: Final = BlobRefusal.DIGEST_VALUE


@dataclass(frozen=True, slots=True, kw_only=True)
class EsmDigests:
    """SHA-512 of each part of a guest; ``kernel_size`` in bytes, of the flat image."""

    kernel_size: int
    kernel: bytes
    initrd: bytes
    bootargs: bytes
    rtas: bytes = RTAS_DIGEST

    @classmethod
    def from_bytes(cls, raw: bytes, profile: EsmProfile) -> EsmDigests:
        """The tree after decryption; of what is wrong in it nothing is told.

        It may be another item of the blob: nothing binds an item to its place. Raises
        `BlobError` B_DIGEST_TREE, B_COMPATIBLE, B_DIGEST_VALUE, B_KERNEL_SIZE.
        ``REAL`` takes the first 64 bytes of a digest, and 4 of the size.
        """
        strict = profile is EsmProfile.STRICT
        if strict:
            room = range(MAX_TREE_SIZE + 1)
            check_size(BlobRefusal.DIGEST_TREE, "digest tree", raw, room)
        fdt = _tree(raw, profile)
        node = find_node(fdt, "/digests", profile)
        if node is None:
            raise BlobError(BlobRefusal.DIGEST_TREE, "/digests", 0, "none", "a node")
        if strict:
            _check(BlobRefusal.COMPATIBLE, fdt.root, "compatible", COMPATIBLE)
            _check(_WRONG, node, "algorithm", ALGORITHM)
        size = int.from_bytes(_value(node, "kernel-size", 4, profile), "big")
        if not size:
            raise BlobError(BlobRefusal.KERNEL_SIZE, "kernel-size", 0, "0x0", "more")
        digests = {name: _value(node, name, DIGEST_SIZE, profile) for name in PARTS}
        return cls(kernel_size=size, **digests)

    def to_bytes(self) -> bytes:
        """The tree, 509 bytes, in the order of IBM's tool; errors as ``STRICT``."""
        values = {name: getattr(self, name) for name in PARTS}
        size = self.kernel_size
        if not 0 < size < 1 << 32:
            found, right = f"0x{size:x}", "0x1 to 0xffffffff"
            raise BlobError(BlobRefusal.KERNEL_SIZE, "kernel-size", 0, found, right)
        values["kernel-size"] = size.to_bytes(4, "big")
        properties = [(name, values[name]) for name in _ORDER]
        properties.append(("algorithm", ALGORITHM.encode() + b"\0"))
        node = FdtNode(name="digests", properties=tuple(properties))
        compatible = ("compatible", COMPATIBLE.encode() + b"\0")
        root = FdtNode(properties=(compatible,), children=(node,))
        raw = Fdt(root=root).to_bytes(_NAMES)
        EsmDigests.from_bytes(raw, EsmProfile.STRICT)
        return raw

    def differing(self, guest: Mapping[str, bytes]) -> tuple[str, ...]:
        """Which of `PARTS` have another digest; all are compared. Absent differs.

        The guest's kernel is its first ``kernel_size`` bytes.
        """
        return tuple(
            name
            for name in PARTS
            if not compare_digest(getattr(self, name), guest.get(name, b""))
        )

    def check_guest(self, guest: Mapping[str, bytes]) -> None:
        """`BlobError` B_DIGEST with all parts that differ."""
        if wrong := self.differing(guest):
            found, right = f"another {', '.join(wrong)}", "the parts that were measured"
            raise BlobError(BlobRefusal.DIGEST, "guest", 0, found, right)


def _tree(raw: bytes, profile: EsmProfile) -> Fdt:
    """`BlobError` B_DIGEST_TREE, without a trace of the error that tells bytes."""
    with suppress(BlobError):
        return read_tree(BlobRefusal.DIGEST_TREE, raw, profile)[0]
    raise BlobError(BlobRefusal.DIGEST_TREE, "digest tree", 0, _HIDDEN, "a device tree")


def _check(refusal: BlobRefusal, node: FdtNode, name: str, expected: str) -> None:
    """A string that is not shown when it is another one."""
    if node.get(name) != expected.encode() + b"\0":
        found = "none" if node.get(name) is None else _HIDDEN
        raise BlobError(refusal, f"property {name}", 0, found, repr(expected))


def _value(node: FdtNode, name: str, size: int, profile: EsmProfile) -> bytes:
    value = node.get(name)
    if value is None:
        raise BlobError(_WRONG, name, 0, "none", "a property")
    exact = range(size, size + 1)
    most = exact if profile is EsmProfile.STRICT else range(size, 1 << 32)
    check_size(_WRONG, name, value, most)
    return value[:size]


def command_line(bootargs: bytes, profile: EsmProfile) -> bytes:
    """What of ``/chosen/bootargs`` is hashed: all but the last byte (esm.md 1.5).

    Raises `BlobError` B_BOOTARGS for an empty property, which the real code does not
    survive, and with ``STRICT`` unless the one NUL is the last byte.
    """
    line = bootargs[:-1]
    nul = bootargs.find(b"\0")
    if not bootargs or (profile is EsmProfile.STRICT and nul != len(line)):
        found = "no bytes" if not bootargs else "none" if nul < 0 else f"0x{nul:x}"
        right = f"one at the end, 0x{len(line):x}"
        raise BlobError(BlobRefusal.BOOTARGS, "NUL of bootargs", 0, found, right)
    return line
