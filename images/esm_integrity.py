"""ESM operand, integrity block: image version and digests (esm.md 5.5)."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from hmac import compare_digest
from typing import Any, Final

from pefstack.images.codec import Buffer
from pefstack.images.esm_refusal import (
    OperandError,
    OperandRefusal,
    check_number,
    check_range,
    check_zero,
)

MAGIC: Final = b"INTG"
VERSION: Final = 2
MIN_COUNT, MAX_COUNT = 4, 32
HASH_SHA512: Final = 1
FLAG_MUST_UNDERSTAND: Final = 1

KERNEL, COMMAND_LINE, INITRAMFS, RTAS = 1, 2, 3, 4
TYPE_WORDS: Final = {
    KERNEL: "kernel",
    COMMAND_LINE: "command line",
    INITRAMFS: "initramfs",
    RTAS: "RTAS",
}

_HEAD: Final = struct.Struct(">4sHHI4s")
_ENTRY: Final = struct.Struct(">HHH2sQ64s")
_R: Final = OperandRefusal
_INT: Final = OperandRefusal.INTEGRITY


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Length in bytes, and SHA-512, of one part of a guest."""

    length: int
    digest: bytes

    @classmethod
    def of(cls, content: Buffer) -> Measured:
        """Of these bytes."""
        return cls(length=len(content), digest=hashlib.sha512(content).digest())


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrityBlock:
    """What a guest must be; ``parts`` has all of `TYPE_WORDS`.

    ``unknown`` has the types that need not be understood, with their 76 bytes.
    """

    security_version: int
    parts: Mapping[int, Measured]
    unknown: tuple[tuple[int, bytes], ...] = ()

    @classmethod
    def from_bytes(cls, raw: bytes) -> IntegrityBlock:
        """A whole block, decrypted; offsets count from its start.

        Raises `OperandError` E_INTEGRITY, or after all its entries E_MUST_UNDERSTAND.
        """
        count, security_version = _read_head(raw)
        parts: dict[int, Measured] = {}
        unknown: list[tuple[int, bytes]] = []
        refused, last = [], 0
        for at in range(_HEAD.size, _HEAD.size + count * _ENTRY.size, _ENTRY.size):
            kind, flags, *rest = _ENTRY.unpack_from(raw, at)
            check_range(_INT, "part type", at, kind, range(last + 1, 1 << 16))
            check_range(_INT, "part flags", at + 2, flags, range(2))
            last = kind
            if kind in TYPE_WORDS:
                parts[kind] = _read_part(flags, rest, at)
            elif flags & FLAG_MUST_UNDERSTAND:
                refused.append((kind, at))
            else:
                unknown.append((kind, raw[at + 4 : at + _ENTRY.size]))
        _check_complete(parts, refused)
        return cls(
            security_version=security_version, parts=parts, unknown=tuple(unknown)
        )

    def to_bytes(self) -> bytes:
        """The block; `OperandError` E_INTEGRITY for what `from_bytes` refuses."""
        rows = [
            _ENTRY.pack(kind, 1, HASH_SHA512, b"", each.length, each.digest)
            for kind, each in sorted(self.parts.items())
        ]
        rows += [struct.pack(">HH76s", kind, 0, rest) for kind, rest in self.unknown]
        version = self.security_version
        check_range(_INT, "security_version", 8, version, range(1 << 32))
        head = _HEAD.pack(MAGIC, VERSION, len(rows), version, b"")
        raw = head + b"".join(rows)
        IntegrityBlock.from_bytes(raw)
        return raw

    def check_version(self, minimum_version: int) -> None:
        """`OperandError` E_ROLLBACK if the image is older than it may be."""
        if self.security_version < minimum_version:
            found, right = self.security_version, f"at least 0x{minimum_version:x}"
            raise OperandError(
                _R.ROLLBACK, "security_version", 8, f"0x{found:x}", right
            )

    def differing(self, guest: Mapping[int, Measured]) -> tuple[int, ...]:
        """The types whose length or digest is not the guest's; absent is different."""
        return tuple(
            kind for kind in self.parts if not _same(self.parts[kind], guest.get(kind))
        )

    def check_guest(self, guest: Mapping[int, Measured]) -> None:
        """`OperandError` E_DIGEST with all parts that differ."""
        if wrong := self.differing(guest):
            words = ", ".join(TYPE_WORDS[kind] for kind in wrong)
            raise OperandError(
                _R.DIGEST,
                "guest",
                0,
                f"another {words}",
                "the parts that were measured",
            )


def _same(expected: Measured, found: Measured | None) -> bool:
    if found is None or found.length != expected.length:
        return False
    return compare_digest(found.digest, expected.digest)


def _read_head(raw: bytes) -> tuple[int, int]:
    """Number of entries, security_version."""
    if len(raw) < _HEAD.size:
        found, right = f"0x{len(raw):x} bytes", f"at least 0x{_HEAD.size:x}"
        raise OperandError(_INT, "integrity block", 0, found, right)
    magic, version, count, security_version, reserved = _HEAD.unpack_from(raw)
    if magic != MAGIC:
        raise OperandError(_INT, "integrity magic", 0, magic.hex(), MAGIC.hex())
    check_number(_INT, "integrity version", 4, version, VERSION)
    check_range(_INT, "part count", 6, count, range(MIN_COUNT, MAX_COUNT + 1))
    check_zero(_INT, "integrity reserved", 12, reserved)
    size = _HEAD.size + count * _ENTRY.size
    check_number(_INT, "size of the integrity block", 0, len(raw), size)
    return count, security_version


def _read_part(flags: int, rest: list[Any], at: int) -> Measured:
    hash_id, reserved, length, digest = rest
    check_number(_INT, "part flags", at + 2, flags, FLAG_MUST_UNDERSTAND)
    check_number(_INT, "part hash", at + 4, hash_id, HASH_SHA512)
    check_zero(_INT, "part reserved", at + 6, reserved)
    return Measured(length=length, digest=digest)


def _check_complete(
    parts: Mapping[int, Measured], refused: list[tuple[int, int]]
) -> None:
    if missing := [word for kind, word in TYPE_WORDS.items() if kind not in parts]:
        found = f"no {', '.join(missing)}"
        raise OperandError(_INT, "parts", _HEAD.size, found, "all four")
    for kind, at in refused:
        right = "only types that this version understands, or that need not be"
        raise OperandError(_R.MUST_UNDERSTAND, "part type", at, f"0x{kind:x}", right)
