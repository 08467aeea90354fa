"""ECDH_KeyGen, ECDH_ZGen, ECC_Parameters (Part 3, "Asymmetric Primitives")."""

from __future__ import annotations

from typing import Any, Final

from pefstack.hw.tpm.buffers import TPM2B_ECC_POINT
from pefstack.hw.tpm.codes import DIGEST_SIZE, TpmAlgId, TpmaObject, TpmCc, TpmEcc
from pefstack.hw.tpm.command import AuthRole, Command, Handle, Parameter
from pefstack.hw.tpm.crypto.curves import Curve, curve_of, pad
from pefstack.hw.tpm.ecc_detail import EccDetail
from pefstack.hw.tpm.ecc_points import Coordinates, coordinates_of, point_of, times
from pefstack.hw.tpm.handles import TPMI_DH_OBJECT
from pefstack.hw.tpm.interface_types import TPMI_ECC_CURVE
from pefstack.hw.tpm.object_keys import ecc_key, ecc_public, has, kind_of
from pefstack.hw.tpm.objects import TpmObject
from pefstack.hw.tpm.response_codes import RC_1, RC_P, Refusal, TpmRc, at
from pefstack.hw.tpm.scheme import NULL_SCHEME, Scheme
from pefstack.hw.tpm.signing import key_scheme
from pefstack.hw.tpm.state import Internals
from pefstack.hw.tpm.structures import put_pair, put_structure, put_tpm2b

_KEY: Final = RC_1
_P1: Final = RC_P + RC_1


def ecdh_key_gen(inner: Internals, key: Any) -> tuple[Coordinates, Coordinates]:
    """An ephemeral key's secret with this key, and its public point."""
    found = ecc_object(key)
    curve, *own = ecc_public(found)
    ephemeral = inner.keys.ecc(inner.entropy, curve)
    shared = times(curve, ephemeral.d, (own[0], own[1]))
    return coordinates_of(curve, shared), coordinates_of(curve, ephemeral.point)


def ecdh_z_gen(inner: Internals, key: Any, in_point: Coordinates) -> tuple[Coordinates]:
    """The other side: the key's secret with a point."""
    found = ecc_object(key)
    check_exchanges(found, TpmAlgId.ECDH)
    private = ecc_key(found)
    point = at(_P1, point_of, private.curve, in_point)
    shared = times(private.curve, private.d, point)
    return (coordinates_of(private.curve, shared),)


def ecc_object(entity: Any) -> TpmObject:
    """The ECC key; TPM_RC_KEY for anything else."""
    if not isinstance(entity, TpmObject) or kind_of(entity) != TpmAlgId.ECC:
        raise Refusal(TpmRc.KEY + _KEY)
    return entity


def check_exchanges(key: TpmObject, *schemes: int) -> None:
    """An unrestricted decryption key whose scheme, if it has one, is one of these."""
    if has(key, TpmaObject.RESTRICTED) or not has(key, TpmaObject.DECRYPT):
        raise Refusal(TpmRc.ATTRIBUTES + _KEY)
    if key_scheme(key).alg not in (TpmAlgId.NULL, *schemes):
        raise Refusal(TpmRc.SCHEME + _KEY)


def _kdf(curve: Curve) -> Scheme:
    """With a hash as strong as the curve; none for BN_P256, as the reference."""
    if curve.curve_id == TpmEcc.BN_P256:
        return NULL_SCHEME
    fitting = min(curve.size, max(DIGEST_SIZE.values()))
    hash_alg = next(alg for alg, size in DIGEST_SIZE.items() if size >= fitting)
    return Scheme(alg=TpmAlgId.KDF1_SP800_56A, hash_alg=hash_alg)


def ecc_parameters(inner: Internals, curve: int) -> tuple[EccDetail]:
    """The curve's numbers, and the KDF that goes with it."""
    known = curve_of(curve)
    numbers = known.p, known.a, known.b, known.gx, known.gy, known.n
    # a number that is nothing has one byte, as the reference's
    p, a, b, g_x, g_y, n = (pad(curve, each) if each else b"\0" for each in numbers)
    detail = EccDetail(
        curve=curve,
        key_size=known.key_bits,
        kdf=_kdf(known),
        p=p,
        a=a,
        b=b,
        g_x=g_x,
        g_y=g_y,
        n=n,
        h=b"\1",
    )
    return (detail,)


def put_point(coordinates: Coordinates) -> bytes:
    """TPM2B_ECC_POINT."""
    return put_tpm2b(put_pair(coordinates))


ECDH_KEY_GEN: Final = Command(
    code=TpmCc.ECDH_KEY_GEN,
    action=ecdh_key_gen,
    handles=(Handle(name="keyHandle", type=TPMI_DH_OBJECT, role=AuthRole.NONE),),
    results=(put_point, put_point),
    encrypts=True,
)
ECDH_ZGEN: Final = Command(
    code=TpmCc.ECDH_ZGEN,
    action=ecdh_z_gen,
    handles=(Handle(name="keyHandle", type=TPMI_DH_OBJECT),),
    parameters=(Parameter(name="inPoint", unmarshal=TPM2B_ECC_POINT),),
    results=(put_point,),
    decrypts=True,
    encrypts=True,
)
ECC_PARAMETERS: Final = Command(
    code=TpmCc.ECC_PARAMETERS,
    action=ecc_parameters,
    parameters=(Parameter(name="curveID", unmarshal=TPMI_ECC_CURVE),),
    results=(put_structure,),
)
COMMANDS: Final = (ECDH_KEY_GEN, ECDH_ZGEN, ECC_PARAMETERS)
