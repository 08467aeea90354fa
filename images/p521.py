"""ECDSA over P-521 with SHA-512, on the raw keys and signatures of a container."""

from __future__ import annotations

from functools import cache
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA512

COORDINATE_SIZE: Final = 66
KEY_SIZE: Final = 2 * COORDINATE_SIZE  # x and y, without the 04 prefix
SIGNATURE_SIZE: Final = 2 * COORDINATE_SIZE  # r and s, each padded on the left

ORDER: Final = (  # of the group (SEC 2, 2.9.1)
    (2**261 - 1 << 260)
    + 0xA51868783BF2F966B7FCC0148F709A5D03BB5C9B8899C47AEBB6FB71E91386409
)
_CURVE: Final = ec.SECP521R1()

PrivateKey = ec.EllipticCurvePrivateKey


class _Checking(ec.ECDSA):
    """ECDSA with SHA-512 for checks; its base would load every cipher when made."""

    algorithm = SHA512()
    deterministic_signing = False

    def __init__(self) -> None:
        """Nothing to set."""


_CHECKING: Final = _Checking()


def is_signed(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether ``signature`` (r, s) over SHA-512 of ``message`` is made by that key.

    A key that is not a point of the curve has signed nothing. The answer is computed
    at every call and never remembered.
    """
    r = int.from_bytes(signature[:COORDINATE_SIZE], "big")
    s = int.from_bytes(signature[COORDINATE_SIZE:], "big")
    try:
        key = ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, b"\4" + public_key)
        key.verify(utils.encode_dss_signature(r, s), message, _CHECKING)
    except (InvalidSignature, ValueError):
        return False
    return True


def sign(key: PrivateKey, message: bytes) -> bytes:
    """The deterministic signature (RFC 6979) over SHA-512 of ``message``, 132 bytes."""
    r, s = utils.decode_dss_signature(key.sign(message, _signing()))
    return _pair(r, s)


def public_bytes(key: PrivateKey) -> bytes:
    """The public key as a container stores it: x and y, 132 bytes."""
    numbers = key.public_key().public_numbers()
    return _pair(numbers.x, numbers.y)


def derive_key(secret: bytes) -> PrivateKey:
    """The private key whose number follows from ``secret`` (74 bytes or more)."""
    number = 1 + int.from_bytes(secret, "big") % (ORDER - 1)
    return ec.derive_private_key(number, _CURVE)


@cache
def _signing() -> ec.ECDSA:
    """RFC 6979; made when first used, because it loads all of the backend."""
    return ec.ECDSA(SHA512(), deterministic_signing=True)


def _pair(first: int, second: int) -> bytes:
    return first.to_bytes(COORDINATE_SIZE, "big") + second.to_bytes(
        COORDINATE_SIZE, "big"
    )
