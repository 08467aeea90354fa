"""Elliptic-curve keys out of a stream, and their signatures (Part 1, annex C).

Curves are named by TPM_ECC_CURVE, numbers and coordinates are integers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    Prehashed,
    encode_dss_signature,
)

from pefstack.hw.tpm.crypto import hashes
from pefstack.hw.tpm.crypto.curves import CURVES, Curve, curve_of, pad
from pefstack.hw.tpm.crypto.package_hashes import HASH_OBJECT
from pefstack.hw.tpm.crypto.points import (
    InfinityError,
    Point,
    add,
    base_multiple,
    in_package,
    multiply,
    on_curve,
    package_curve,
)
from pefstack.hw.tpm.crypto.stream import Stream

__all__ = [
    "CURVES",
    "EccKey",
    "InfinityError",
    "Point",
    "add",
    "from_private",
    "generate",
    "multiply",
    "on_curve",
    "pad",
    "sign_ecdaa",
    "sign_ecdsa",
    "sign_ecschnorr",
    "verify_ecdsa",
    "verify_ecschnorr",
]

EXTRA_BYTES: Final = 8  # drawn beyond the order, against bias (FIPS 186-4, B.4.1)

Signature = tuple[int, int]  # r and s

_BY_SIZE: Final = {known.digest_size: known for known in HASH_OBJECT.values()}


@dataclass(frozen=True, slots=True)
class EccKey:
    """A private number d and the point dG."""

    curve: int
    d: int = field(repr=False)
    x: int
    y: int

    @property
    def point(self) -> Point:
        """The public point."""
        return self.x, self.y


def generate(stream: Stream, curve: int) -> EccKey:
    """The key that follows from the stream; ValueError for an unknown curve."""
    return from_private(curve, random_scalar(stream, curve))


def from_private(curve: int, d: int) -> EccKey:
    """The key of a private number; ValueError unless 0 < d < n."""
    return EccKey(curve, d, *base_multiple(curve, d))


def random_scalar(stream: Stream, curve: int) -> int:
    """A number from 1 to n - 1."""
    order = curve_of(curve).n
    drawn = stream.random_bytes(curve_of(curve).size + EXTRA_BYTES)
    return 1 + int.from_bytes(drawn, "big") % (order - 1)


def sign_ecdsa(key: EccKey, digest: bytes, stream: Stream) -> Signature:
    """ECDSA of a digest, its leading bits when it is longer than the order.

    ValueError for a digest of a size that no hash of the TPM has.
    """
    _scheme(digest)
    curve = curve_of(key.curve)
    hashed = _leading_bits(digest, curve)
    while True:
        nonce = from_private(key.curve, random_scalar(stream, key.curve))
        r = nonce.x % curve.n
        s = (hashed + r * key.d) * pow(nonce.d, -1, curve.n) % curve.n
        if r and s:
            return r, s


def verify_ecdsa(curve: int, x: int, y: int, digest: bytes, r: int, s: int) -> bool:
    """Whether (r, s) is an ECDSA signature of the digest; never remembered.

    A key off the curve has signed nothing.
    """
    try:
        if not in_package(curve):
            return _verify_here(curve, (x, y), digest, r, s)
        numbers = ec.EllipticCurvePublicNumbers(x, y, package_curve(curve))
        signature = encode_dss_signature(r, s)
        numbers.public_key().verify(signature, digest, _scheme(digest))
    except (InvalidSignature, ValueError):
        return False
    return True


def _verify_here(curve_id: int, point: Point, digest: bytes, r: int, s: int) -> bool:
    """ECDSA on a curve that `cryptography` does not have; ValueError for nonsense."""
    _scheme(digest)
    curve = curve_of(curve_id)
    _require_below(curve.n, r, s)
    inverse = pow(s, -1, curve.n)
    found = multiply(curve_id, r * inverse, point)
    of_digest = _leading_bits(digest, curve) * inverse % curve.n
    if of_digest:
        found = add(curve_id, found, base_multiple(curve_id, of_digest))
    return found[0] % curve.n == r


def sign_ecschnorr(key: EccKey, alg: int, digest: bytes, stream: Stream) -> Signature:
    """EC Schnorr: r = H(x of kG || digest) cut to the order's bytes, s = k + rd."""
    curve = curve_of(key.curve)
    while True:
        nonce = from_private(key.curve, random_scalar(stream, key.curve))
        r = _challenge(curve, alg, nonce.x, digest) % curve.n
        s = (nonce.d + r * key.d) % curve.n
        if r and s:
            return r, s


def verify_ecschnorr(
    curve: int, x: int, y: int, alg: int, digest: bytes, r: int, s: int
) -> bool:
    """Whether (r, s) is an EC Schnorr signature of the digest; never remembered."""
    try:
        known = curve_of(curve)
        _require_below(known.n, r, s)
        from_s = multiply(curve, s, (known.gx, known.gy))
        from_r = multiply(curve, known.n - r, (x, y))
        commitment = add(curve, from_s, from_r)
        challenge = _challenge(known, alg, commitment[0], digest)
    except ValueError:
        return False
    return challenge % known.n == r


def sign_ecdaa(
    key: EccKey, alg: int, digest: bytes, commit_random: int, stream: Stream
) -> Signature:
    """ECDAA: a fresh nonce, and s = commit_random + H(nonce || digest) d.

    ``commit_random`` is the r of the Commit that this signature ends.
    """
    curve = curve_of(key.curve)
    while True:
        nonce = random_scalar(stream, key.curve)
        hashed = hashes.digest(alg, pad(key.curve, nonce), digest)
        challenge = int.from_bytes(hashed, "big") % curve.n
        s = (commit_random + challenge * key.d) % curve.n
        if s:
            return nonce, s


def _require_below(order: int, *numbers: int) -> None:
    if not all(0 < number < order for number in numbers):
        raise ValueError("a part of the signature is out of range")


def _challenge(curve: Curve, alg: int, x: int, digest: bytes) -> int:
    hashed = hashes.digest(alg, pad(curve.curve_id, x), digest)
    return int.from_bytes(hashed[: curve.size], "big")


def _leading_bits(digest: bytes, curve: Curve) -> int:
    surplus = max(0, 8 * len(digest) - curve.n.bit_length())
    return int.from_bytes(digest, "big") >> surplus


def _scheme(digest: bytes) -> ec.ECDSA:
    try:
        return ec.ECDSA(Prehashed(_BY_SIZE[len(digest)]))
    except KeyError:
        raise ValueError(f"a digest of {len(digest)} bytes") from None
