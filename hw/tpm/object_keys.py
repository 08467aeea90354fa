"""The keys inside objects, as the crypto functions take them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pefstack.hw.tpm.codes import TpmAlgId
from pefstack.hw.tpm.objects import Loadable, TpmObject
from pefstack.hw.tpm.public import EccParms, RsaParms
from pefstack.hw.tpm.response_codes import Refusal, TpmRc

if TYPE_CHECKING:
    from pefstack.hw.tpm.crypto.ecc import EccKey
    from pefstack.hw.tpm.crypto.rsa import RsaKey

DEFAULT_EXPONENT = 65537


def kind_of(loadable: Loadable) -> int:
    """TPMI_ALG_PUBLIC; TPM_ALG_NULL for a sequence, as the reference keeps them."""
    if isinstance(loadable, TpmObject):
        return loadable.public.type
    return TpmAlgId.NULL


def has(loadable: Loadable, *attributes: int) -> bool:
    """Whether all these attributes are set; a sequence has none."""
    if not isinstance(loadable, TpmObject):
        return False
    return all(loadable.public.attributes & each for each in attributes)


def rsa_public(key: TpmObject) -> tuple[int, int]:
    """Modulus and exponent; TPM_RC_KEY for another kind of object."""
    parameters, unique = key.public.parameters, key.public.unique
    if not isinstance(parameters, RsaParms) or not isinstance(unique, bytes):
        raise Refusal(TpmRc.KEY)
    return int.from_bytes(unique, "big"), parameters.exponent or DEFAULT_EXPONENT


def rsa_key(key: TpmObject) -> RsaKey:
    """The whole key; TPM_RC_KEY where there is no private part."""
    from pefstack.hw.tpm.crypto import rsa

    n, e = rsa_public(key)
    if key.sensitive is None:
        raise Refusal(TpmRc.KEY)
    return rsa.from_prime(n, e, int.from_bytes(key.sensitive.sensitive, "big"))


def ecc_public(key: TpmObject) -> tuple[int, int, int]:
    """Curve and point; TPM_RC_KEY for another kind of object."""
    parameters, unique = key.public.parameters, key.public.unique
    if not isinstance(parameters, EccParms) or isinstance(unique, bytes):
        raise Refusal(TpmRc.KEY)
    x, y = (int.from_bytes(each, "big") for each in unique)
    return parameters.curve, x, y


def ecc_key(key: TpmObject) -> EccKey:
    """The whole key; TPM_RC_KEY where there is no private part."""
    from pefstack.hw.tpm.crypto.ecc import EccKey

    curve, x, y = ecc_public(key)
    if key.sensitive is None:
        raise Refusal(TpmRc.KEY)
    return EccKey(curve, int.from_bytes(key.sensitive.sensitive, "big"), x, y)
