"""Points of the TPM's curves: sums and multiples (Part 1, annex C).

`cryptography` does the multiplications on its curves; it gives only the x-coordinate of
a shared point, so y is found by a second one. On a curve that it does not have, points
are doubled and added here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from pefstack.hw.tpm.crypto.curves import (
    NIST_P256,
    NIST_P384,
    NIST_P521,
    Curve,
    curve_of,
)

Point = tuple[int, int]  # affine x and y; infinity is no value but an error

_PACKAGE_CURVE: Final[Mapping[int, ec.EllipticCurve]] = {
    NIST_P256: ec.SECP256R1(),
    NIST_P384: ec.SECP384R1(),
    NIST_P521: ec.SECP521R1(),
}


class InfinityError(ValueError):
    """The result is the point at infinity, which has no coordinates."""


def in_package(curve: int) -> bool:
    """Whether `cryptography` has this curve; ValueError for one that is not here."""
    return curve_of(curve).curve_id in _PACKAGE_CURVE


def package_curve(curve: int) -> ec.EllipticCurve:
    """The package's curve; ValueError for one that it does not have."""
    if not in_package(curve):
        raise ValueError(f"the package has no curve {curve_of(curve).name}")
    return _PACKAGE_CURVE[curve]


def on_curve(curve_id: int, x: int, y: int) -> bool:
    """Whether (x, y) is a point of the curve."""
    curve = curve_of(curve_id)
    in_field = 0 <= x < curve.p and 0 <= y < curve.p
    return in_field and (y * y - _right_side(curve, x)) % curve.p == 0


def add(curve_id: int, first: Point, second: Point) -> Point:
    """The sum of two points; `InfinityError` when they cancel, ValueError off curve."""
    curve = curve_of(curve_id)
    _require_point(curve_id, first)
    _require_point(curve_id, second)
    (x1, y1), (x2, y2), p = first, second, curve.p
    if x1 == x2 and (y1 + y2) % p == 0:
        raise InfinityError("the sum is the point at infinity")
    if x1 == x2:
        slope = (3 * x1 * x1 + curve.a) * pow(2 * y1, -1, p) % p
    else:
        slope = (y2 - y1) * pow(x2 - x1, -1, p) % p
    x = (slope * slope - x1 - x2) % p
    return x, (slope * (x1 - x) - y1) % p


def multiply(curve: int, d: int, point: Point) -> Point:
    """The point taken d times.

    `InfinityError` when d is a multiple of the order, ValueError off the curve.
    """
    known, (x, y) = curve_of(curve), point
    _require_point(curve, point)
    d %= known.n
    if d == 0:
        raise InfinityError("the product is the point at infinity")
    if (x, y) == (known.gx, known.gy):
        return base_multiple(curve, d)
    if d in (1, known.n - 1):
        return x, y if d == 1 else known.p - y
    if not in_package(curve):
        return _doubled_and_added(curve, d, point)
    shared = _shared_x(curve, d, point)
    root = _root_at(curve, shared)
    after = add(curve, (shared, root), point)
    if after[0] != _shared_x(curve, d + 1, point):
        root = known.p - root
    return shared, root


def base_multiple(curve: int, d: int) -> Point:
    """The base point taken d times; ValueError unless 0 < d < n."""
    known = curve_of(curve)
    if not 0 < d < known.n:
        raise ValueError("the private number is out of range")
    if not in_package(curve):
        return _doubled_and_added(curve, d, (known.gx, known.gy))
    numbers = ec.derive_private_key(d, package_curve(curve)).public_key()
    point = numbers.public_numbers()
    return point.x, point.y


def _doubled_and_added(curve: int, d: int, point: Point) -> Point:
    """d is below the order, so no sum on the way is the point at infinity."""
    product = point
    for bit in bin(d)[3:]:
        product = add(curve, product, product)
        if bit == "1":
            product = add(curve, product, point)
    return product


def _shared_x(curve: int, d: int, point: Point) -> int:
    peer = ec.EllipticCurvePublicNumbers(*point, package_curve(curve)).public_key()
    own = ec.derive_private_key(d, package_curve(curve))
    return int.from_bytes(own.exchange(ec.ECDH(), peer), "big")


def _root_at(curve_id: int, x: int) -> int:
    """One y of the points at ``x``; the other is p - y. ValueError without a point."""
    curve = curve_of(curve_id)
    y = pow(_right_side(curve, x), curve.p + 1 >> 2, curve.p)  # p is 3 modulo 4
    if not on_curve(curve_id, x, y):
        raise ValueError("no point has this x-coordinate")
    return y


def _require_point(curve_id: int, point: Point) -> None:
    """ValueError unless the point is on the curve."""
    if not on_curve(curve_id, *point):
        raise ValueError("the point is not on the curve")


def _right_side(curve: Curve, x: int) -> int:
    return (x * x * x + curve.a * x + curve.b) % curve.p
