"""Bytes that are the same for every TPM, and bytes of which each has its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

Each = tuple[bytes, ...]  # one value a TPM: nonces, keys, tickets, private areas
Piece = bytes | Each


def joined(pieces: Iterable[Piece], side: int) -> bytes:
    """The bytes for one TPM."""
    return b"".join(
        piece if isinstance(piece, bytes) else piece[side] for piece in pieces
    )


def alike(each: Sequence[bytes]) -> bool:
    """Whether every TPM has the same."""
    return all(one == each[0] for one in each)


def u8(value: int) -> bytes:
    """UINT8."""
    return (value & 0xFF).to_bytes(1, "big")


def u16(value: int) -> bytes:
    """UINT16."""
    return (value & 0xFFFF).to_bytes(2, "big")


def u32(value: int) -> bytes:
    """UINT32."""
    return (value & 0xFFFFFFFF).to_bytes(4, "big")


def u64(value: int) -> bytes:
    """UINT64."""
    return value.to_bytes(8, "big")


def two_b(data: bytes) -> bytes:
    """TPM2B."""
    return u16(len(data)) + data


def two_b_each(each: Each) -> Each:
    """TPM2B of each TPM's own bytes."""
    return tuple(two_b(one) for one in each)


def number(raw: bytes) -> int:
    """Big-endian."""
    return int.from_bytes(raw, "big")
