"""Points as commands carry them: pairs of coordinates as bytes (Part 2, 11.2.5).

The curves' arithmetic is loaded when it is first used: a boot never needs it.
"""

from __future__ import annotations

from pefstack.hw.tpm.crypto.curves import curve_of, pad
from pefstack.hw.tpm.response_codes import Refusal, TpmRc

Coordinates = tuple[bytes, bytes]  # TPMS_ECC_POINT
Point = tuple[int, int]


def point_of(curve: int, coordinates: Coordinates) -> Point:
    """The point; TPM_RC_ECC_POINT when it is not on the curve."""
    from pefstack.hw.tpm.crypto.points import on_curve

    x, y = (int.from_bytes(each, "big") for each in coordinates)
    if not on_curve(curve, x, y):
        raise Refusal(TpmRc.ECC_POINT)
    return x, y


def coordinates_of(curve: int, point: Point) -> Coordinates:
    """Both coordinates as long as the curve's numbers."""
    return pad(curve, point[0]), pad(curve, point[1])


def base_point(curve: int) -> Point:
    """The generator of the curve."""
    known = curve_of(curve)
    return known.gx, known.gy


def times(curve: int, number: int, point: Point) -> Point:
    """The point taken ``number`` times; TPM_RC_NO_RESULT at infinity."""
    from pefstack.hw.tpm.crypto.points import InfinityError, multiply

    try:
        return multiply(curve, number, point)
    except InfinityError:
        raise Refusal(TpmRc.NO_RESULT) from None


def plus(curve: int, first: Point, second: Point) -> Point:
    """The sum; TPM_RC_NO_RESULT at infinity."""
    from pefstack.hw.tpm.crypto.points import InfinityError, add

    try:
        return add(curve, first, second)
    except InfinityError:
        raise Refusal(TpmRc.NO_RESULT) from None
