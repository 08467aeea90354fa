"""TPMS_ALGORITHM_DETAIL_ECC: the parameters of a curve (Part 2, 11.4.3)."""

from __future__ import annotations

from dataclasses import dataclass

from pefstack.hw.tpm.scheme import NULL_SCHEME, Scheme
from pefstack.hw.tpm.structures import put_tpm2b, put_uint16


@dataclass(frozen=True, slots=True, kw_only=True)
class EccDetail:
    """The answer of ECC_Parameters: field p, coefficients a and b, base point,
    order n, cofactor h; ``key_size`` in bits."""

    curve: int
    key_size: int
    kdf: Scheme = NULL_SCHEME
    sign: Scheme = NULL_SCHEME
    p: bytes
    a: bytes
    b: bytes
    g_x: bytes
    g_y: bytes
    n: bytes
    h: bytes

    def to_bytes(self) -> bytes:
        """The structure."""
        head = put_uint16(self.curve) + put_uint16(self.key_size)
        head += self.kdf.to_bytes() + self.sign.to_bytes()
        numbers = (self.p, self.a, self.b, self.g_x, self.g_y, self.n, self.h)
        return head + b"".join([put_tpm2b(number) for number in numbers])
