"""The elliptic curves of the TPM: a table (TPM_ECC_CURVE; FIPS 186-4, D.1.2; BN_P256
of ISO/IEC 15946-5 as the TCG Algorithm Registry names it)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

NIST_P256, NIST_P384, NIST_P521 = 0x0003, 0x0004, 0x0005  # TPM_ECC
BN_P256: Final = 0x0010


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """y^2 = x^3 + ax + b over p; base point (gx, gy) of prime order n, cofactor 1."""

    curve_id: int
    name: str
    key_bits: int
    p: int
    b: int
    gx: int
    gy: int
    n: int
    small_a: int = -3

    @property
    def a(self) -> int:
        """The coefficient a as a number of the field."""
        return self.small_a % self.p

    @property
    def size(self) -> int:
        """Bytes of a coordinate, and of a number below the order."""
        return (self.key_bits + 7) // 8


CURVES: Final[Mapping[int, Curve]] = {
    NIST_P256: Curve(
        curve_id=NIST_P256,
        name="secp256r1",
        key_bits=256,
        p=2**256 - 2**224 + 2**192 + 2**96 - 1,
        b=0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B,
        gx=0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
        gy=0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
        n=0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    ),
    NIST_P384: Curve(
        curve_id=NIST_P384,
        name="secp384r1",
        key_bits=384,
        p=2**384 - 2**128 - 2**96 + 2**32 - 1,
        b=int(
            "b3312fa7e23ee7e4988e056be3f82d19181d9c6efe8141120314088f5013875a"
            "c656398d8a2ed19d2a85c8edd3ec2aef",
            16,
        ),
        gx=int(
            "aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a38"
            "5502f25dbf55296c3a545e3872760ab7",
            16,
        ),
        gy=int(
            "3617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c0"
            "0a60b1ce1d7e819d7a431d7c90ea0e5f",
            16,
        ),
        n=int(
            "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf"
            "581a0db248b0a77aecec196accc52973",
            16,
        ),
    ),
    NIST_P521: Curve(
        curve_id=NIST_P521,
        name="secp521r1",
        key_bits=521,
        p=2**521 - 1,
        b=int(
            "051953eb9618e1c9a1f929a21a0b68540eea2da725b99b315f3b8b489918ef10"
            "9e156193951ec7e937b1652c0bd3bb1bf073573df883d2c34f1ef451fd46b503f00",
            16,
        ),
        gx=int(
            "0c6858e06b70404e9cd9e3ecb662395b4429c648139053fb521f828af606b4d3d"
            "baa14b5e77efe75928fe1dc127a2ffa8de3348b3c1856a429bf97e7e31c2e5bd66",
            16,
        ),
        gy=int(
            "11839296a789a3bc0045c8a5fb42c7d1bd998f54449579b446817afbd17273e66"
            "2c97ee72995ef42640c550b9013fad0761353c7086a272c24088be94769fd16650",
            16,
        ),
        n=2**521
        - int(
            "5ae79787c40d069948033feb708f65a2fc44a36477663b851449048e16ec79bf7",
            16,
        ),
    ),
    BN_P256: Curve(
        curve_id=BN_P256,
        name="bnp256",
        key_bits=256,
        p=0xFFFFFFFFFFFCF0CD46E5F25EEE71A49F0CDC65FB12980A82D3292DDBAED33013,
        small_a=0,
        b=3,
        gx=1,
        gy=2,
        n=0xFFFFFFFFFFFCF0CD46E5F25EEE71A49E0CDC65FB1299921AF62D536CD10B500D,
    ),
}


def curve_of(curve_id: int) -> Curve:
    """The curve of a TPM_ECC_CURVE; ValueError for one that is not here."""
    try:
        return CURVES[curve_id]
    except KeyError:
        raise ValueError(f"no curve 0x{curve_id:04x}") from None


def pad(curve_id: int, number: int) -> bytes:
    """A coordinate or a number below the order, in the bytes of the curve.

    ValueError when it does not fit.
    """
    try:
        return number.to_bytes(curve_of(curve_id).size, "big")
    except OverflowError:
        raise ValueError("the number does not fit the curve") from None
