"""Whether a public and a sensitive area belong together, and the object they make.

Part 1, "Object Loading"; Part 3, 12.2. A refusal says which of the two is to blame.
"""

from __future__ import annotations

from hmac import compare_digest
from math import gcd
from typing import Any, Final

from pefstack.hw.tpm.codes import DIGEST_SIZE, ECC_KEY_BITS, TpmAlgId, TpmaObject
from pefstack.hw.tpm.crypto.hashes import constructor
from pefstack.hw.tpm.key_creation import scheme_hash, symmetric_unique
from pefstack.hw.tpm.names import object_name, qualified_name
from pefstack.hw.tpm.objects import TpmObject
from pefstack.hw.tpm.public import EccParms, Public, RsaParms
from pefstack.hw.tpm.response_codes import Refusal, TpmRc, at
from pefstack.hw.tpm.sensitive import Sensitive
from pefstack.hw.tpm.template_checks import check_attributes, check_schemes

MIN_EXPONENT: Final = 7


def check_object(
    parent: TpmObject | None,
    public: Public,
    sensitive: Sensitive | None,
    *,
    public_place: int,
    sensitive_place: int,
) -> None:
    """ObjectLoad's checks; below a fixedTPM parent the parts were checked before.

    ``parent`` is None for external objects, and for import below a fixedTPM parent.
    """
    if sensitive is None or public.name_alg == TpmAlgId.NULL:
        at(public_place, check_schemes, None, public)
    else:
        if len(sensitive.seed_value) > DIGEST_SIZE[public.name_alg]:
            raise Refusal(TpmRc.KEY_SIZE + sensitive_place)
        at(public_place, check_attributes, parent, public)
    if parent is None or not parent.public.has(TpmaObject.FIXED_TPM):
        _check_parts(public, sensitive, public_place, sensitive_place)


def _check_parts(
    public: Public, sensitive: Sensitive | None, public_place: int, place: int
) -> None:
    """CryptValidateKeys."""
    if sensitive is not None:
        _check_sensitive(public, sensitive, place)
    if public.type == TpmAlgId.RSA:
        _check_rsa(public, sensitive, public_place, place)
    elif public.type == TpmAlgId.ECC:
        _check_ecc(public, sensitive, public_place, place)
    else:
        _check_digest(public, sensitive, public_place, place)
    if sensitive is None or public.name_alg == TpmAlgId.NULL or not public.protects:
        return
    size = DIGEST_SIZE[public.name_alg]
    if not size // 2 <= len(sensitive.seed_value) <= size:
        raise Refusal(TpmRc.SIZE + place)


def _check_sensitive(public: Public, sensitive: Sensitive, place: int) -> None:
    if sensitive.type != public.type:
        raise Refusal(TpmRc.TYPE + place)
    size = DIGEST_SIZE.get(public.name_alg, len(sensitive.auth_value))
    if len(sensitive.auth_value) > size:
        raise Refusal(TpmRc.SIZE + place)


def _check_rsa(
    public: Public, sensitive: Sensitive | None, public_place: int, place: int
) -> None:
    parameters, unique = public.parameters, public.unique
    if not isinstance(parameters, RsaParms) or not isinstance(unique, bytes):
        raise Refusal(TpmRc.TYPE + public_place)
    size = parameters.key_bits // 8
    if len(unique) != size or unique[0] < 0x80:
        raise Refusal(TpmRc.KEY + public_place)
    if 0 < parameters.exponent < MIN_EXPONENT:
        raise Refusal(TpmRc.VALUE + public_place)
    if sensitive is None:
        return
    prime = sensitive.sensitive
    if len(prime) * 2 != size or prime[0] < 0x80:
        raise Refusal(TpmRc.KEY_SIZE + place)
    from pefstack.hw.tpm.crypto.rsa import DEFAULT_EXPONENT

    exponent = parameters.exponent or DEFAULT_EXPONENT
    if not _is_rsa_key(int.from_bytes(unique, "big"), exponent, prime):
        raise Refusal(TpmRc.BINDING)


def _is_rsa_key(n: int, e: int, prime: bytes) -> bool:
    """Whether the prime divides the modulus, and e has an inverse beside it."""
    p = int.from_bytes(prime, "big")
    q, rest = divmod(n, p)
    return not rest and gcd(e, (p - 1) * (q - 1)) == 1


def _check_ecc(
    public: Public, sensitive: Sensitive | None, public_place: int, place: int
) -> None:
    from pefstack.hw.tpm.crypto import ecc

    parameters, unique = public.parameters, public.unique
    if not isinstance(parameters, EccParms) or isinstance(unique, bytes):
        raise Refusal(TpmRc.TYPE + public_place)
    curve = parameters.curve
    point = int.from_bytes(unique[0], "big"), int.from_bytes(unique[1], "big")
    if sensitive is None:
        size = (ECC_KEY_BITS[curve] + 7) // 8
        if [len(each) for each in unique] != [size, size]:
            raise Refusal(TpmRc.KEY + public_place)
        if public.name_alg != TpmAlgId.NULL and not ecc.on_curve(curve, *point):
            raise Refusal(TpmRc.ECC_POINT + public_place)
        return
    try:
        key = ecc.from_private(curve, int.from_bytes(sensitive.sensitive, "big"))
    except ValueError:
        raise Refusal(TpmRc.KEY_SIZE) from None
    if public.name_alg != TpmAlgId.NULL and key.point != point:
        raise Refusal(TpmRc.BINDING)


def _check_digest(
    public: Public, sensitive: Sensitive | None, public_place: int, place: int
) -> None:
    """SYMCIPHER and KEYEDHASH: unique is the digest of seedValue and secret."""
    unique = public.unique
    if not isinstance(unique, bytes):
        raise Refusal(TpmRc.TYPE + public_place)
    if sensitive is None:
        if len(unique) != DIGEST_SIZE.get(public.name_alg, 0):
            raise Refusal(TpmRc.KEY + public_place)
        return
    _check_secret_size(public, sensitive, place)
    if public.name_alg == TpmAlgId.NULL:
        return
    seed, secret = sensitive.seed_value, sensitive.sensitive
    if len(seed) != DIGEST_SIZE[public.name_alg]:
        raise Refusal(TpmRc.KEY_SIZE + place)
    if not compare_digest(unique, symmetric_unique(public, seed, secret)):
        raise Refusal(TpmRc.BINDING)


def _check_secret_size(public: Public, sensitive: Sensitive, place: int) -> None:
    size = len(sensitive.sensitive)
    if public.type == TpmAlgId.SYMCIPHER:
        if size * 8 != public.symmetric.key_bits:
            raise Refusal(TpmRc.KEY_SIZE + place)
        return
    alg = scheme_hash(public)
    if alg != TpmAlgId.NULL and size > constructor(alg)().block_size:
        raise Refusal(TpmRc.KEY_SIZE + place)


def child_of(parent: Any, public: Public, sensitive: Sensitive | None) -> TpmObject:
    """The loaded object; ``parent`` is an object, or a hierarchy of a primary."""
    name = object_name(public)
    is_object = isinstance(parent, TpmObject)
    parent_qn = parent.qualified_name if is_object else parent.name
    return TpmObject(
        public=public,
        sensitive=sensitive,
        name=name,
        qualified_name=qualified_name(parent_qn, name),
        hierarchy=parent.hierarchy if is_object else parent.handle,
        below_st_clear=is_object and parent.is_st_clear,
    )
