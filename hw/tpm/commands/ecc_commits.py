"""Commit, EC_Ephemeral, ZGen_2Phase (Part 3, "Ephemeral EC Keys" and 14)."""

from __future__ import annotations

from typing import Any, Final

from pefstack.hw.tpm.buffers import (
    TPM2B_ECC_PARAMETER,
    TPM2B_ECC_POINT,
    TPM2B_SENSITIVE_DATA,
)
from pefstack.hw.tpm.codes import TpmAlgId, TpmCc
from pefstack.hw.tpm.command import Command, Handle, Parameter
from pefstack.hw.tpm.commands.ecc_primitives import (
    check_exchanges,
    ecc_object,
    put_point,
)
from pefstack.hw.tpm.commit_numbers import commit_random, scalar
from pefstack.hw.tpm.crypto.curves import curve_of
from pefstack.hw.tpm.crypto.hashes import digest
from pefstack.hw.tpm.ecc_points import (
    Coordinates,
    Point,
    base_point,
    coordinates_of,
    plus,
    point_of,
    times,
)
from pefstack.hw.tpm.handles import TPMI_DH_OBJECT
from pefstack.hw.tpm.interface_types import TPMI_ECC_CURVE, TPMI_ECC_KEY_EXCHANGE
from pefstack.hw.tpm.object_keys import ecc_key
from pefstack.hw.tpm.response_codes import RC_1, RC_P, Refusal, TpmRc, at
from pefstack.hw.tpm.signing import key_scheme
from pefstack.hw.tpm.state import Internals
from pefstack.hw.tpm.structures import UINT16, put_uint16

_KEY: Final = RC_1
_P1, _P2, _P3, _P4 = (RC_P + number * RC_1 for number in (1, 2, 3, 4))
_NO_POINT: Final = b"", b""
_NOBODY: Final = b""  # an ephemeral key has no Name


def commit(
    inner: Internals, key: Any, p1: Coordinates, s2: bytes, y2: bytes
) -> tuple[Coordinates, Coordinates, Coordinates, int]:
    """The first half of ECDAA: K = d P2, L = r P2, E = r P1, and the count of r.

    P2 is (H(s2), y2). What has no point is empty; with neither point E = r G.
    """
    found = ecc_object(key)
    if key_scheme(found).alg != TpmAlgId.ECDAA:
        raise Refusal(TpmRc.SCHEME + _KEY)
    if bool(s2) is not bool(y2):
        raise Refusal(TpmRc.SIZE + _P3)
    private = ecc_key(found)
    curve, second = private.curve, None
    if s2:
        x2 = digest(found.public.name_alg, s2)
        second = at(_P2, point_of, curve, (_reduced(curve, x2), y2))
    first = at(_P1, point_of, curve, p1) if any(p1) else None
    count = inner.state.commits.count
    r = scalar(inner, count, found.name, curve)
    k = _product(curve, private.d, second)
    shared = _product(curve, r, second)
    e = _product(curve, r, first if first or second else base_point(curve))
    return k, shared, e, inner.state.commits.begin()


def _reduced(curve: int, number: bytes) -> bytes:
    """The number modulo the field's prime."""
    known = curve_of(curve)
    return (int.from_bytes(number, "big") % known.p).to_bytes(known.size, "big")


def _product(curve: int, number: int, point: Point | None) -> Coordinates:
    if point is None:
        return _NO_POINT
    return coordinates_of(curve, times(curve, number, point))


def ec_ephemeral(inner: Internals, curve: int) -> tuple[Coordinates, int]:
    """An ephemeral public point, and the count under which its number is found."""
    r = scalar(inner, inner.state.commits.count, _NOBODY, curve)
    point = times(curve, r, base_point(curve))
    return coordinates_of(curve, point), inner.state.commits.begin()


def z_gen_2_phase(
    inner: Internals,
    key: Any,
    static: Coordinates,
    ephemeral: Coordinates,
    asked: int,
    counter: int,
) -> tuple[Coordinates, Coordinates]:
    """Two secrets (ECDH) or one (ECMQV) with the other side's static and ephemeral
    keys, out of this key and the one of EC_Ephemeral."""
    found = ecc_object(key)
    check_exchanges(found, TpmAlgId.ECDH, TpmAlgId.ECMQV)
    if key_scheme(found).alg not in (TpmAlgId.NULL, asked):
        raise Refusal(TpmRc.SCHEME + _P3)
    private = ecc_key(found)
    curve = private.curve
    theirs = at(_P1, point_of, curve, static)
    passing = at(_P2, point_of, curve, ephemeral)
    r = at(_P4, commit_random, inner, counter, _NOBODY, curve)
    if asked == TpmAlgId.ECDH:
        answer = (
            coordinates_of(curve, times(curve, private.d, theirs)),
            coordinates_of(curve, times(curve, r, passing)),
        )
    else:
        answer = (
            coordinates_of(curve, _mqv(curve, private.d, r, theirs, passing)),
            _NO_POINT,
        )
    inner.state.commits.end(counter)
    return answer


def _mqv(curve: int, d: int, r: int, theirs: Point, passing: Point) -> Point:
    """The shared point of SP 800-56A, 5.7.2.3: (r + avf(rG) d)(Qe + avf(Qe) Qs)."""
    order = curve_of(curve).n
    own = times(curve, r, base_point(curve))
    implicit = (r + _associate(curve, own) * d) % order
    other = plus(curve, passing, times(curve, _associate(curve, passing), theirs))
    return times(curve, implicit, other)


def _associate(curve: int, point: Point) -> int:
    """avf: the lower half of x with the next bit set."""
    half = 1 << (curve_of(curve).n.bit_length() + 1) // 2
    return point[0] % half + half


COMMIT: Final = Command(
    code=TpmCc.COMMIT,
    action=commit,
    handles=(Handle(name="signHandle", type=TPMI_DH_OBJECT),),
    parameters=(
        Parameter(name="P1", unmarshal=TPM2B_ECC_POINT),
        Parameter(name="s2", unmarshal=TPM2B_SENSITIVE_DATA),
        Parameter(name="y2", unmarshal=TPM2B_ECC_PARAMETER),
    ),
    results=(put_point, put_point, put_point, put_uint16),
    decrypts=True,
    encrypts=True,
)
EC_EPHEMERAL: Final = Command(
    code=TpmCc.EC_EPHEMERAL,
    action=ec_ephemeral,
    parameters=(Parameter(name="curveID", unmarshal=TPMI_ECC_CURVE),),
    results=(put_point, put_uint16),
    encrypts=True,
)
ZGEN_2PHASE: Final = Command(
    code=TpmCc.ZGEN_2PHASE,
    action=z_gen_2_phase,
    handles=(Handle(name="keyA", type=TPMI_DH_OBJECT),),
    parameters=(
        Parameter(name="inQsB", unmarshal=TPM2B_ECC_POINT),
        Parameter(name="inQeB", unmarshal=TPM2B_ECC_POINT),
        Parameter(name="inScheme", unmarshal=TPMI_ECC_KEY_EXCHANGE),
        Parameter(name="counter", unmarshal=UINT16),
    ),
    results=(put_point, put_point),
    decrypts=True,
    encrypts=True,
)
COMMANDS: Final = (COMMIT, EC_EPHEMERAL, ZGEN_2PHASE)
