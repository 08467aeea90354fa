"""What a public area may say of its object (Part 1, "Object Attributes"; Part 3, 12).

Each check raises `Refusal` with the bare response code; order and codes are those of
the reference.
"""

from __future__ import annotations

from typing import Final

from pefstack.hw.tpm.codes import DIGEST_SIZE, TpmAlgId, TpmaObject
from pefstack.hw.tpm.objects import TpmObject
from pefstack.hw.tpm.public import EccParms, KeyedHashParms, Public, RsaParms
from pefstack.hw.tpm.response_codes import Refusal, TpmRc
from pefstack.hw.tpm.scheme import Scheme

_ASYMMETRIC: Final = (TpmAlgId.RSA, TpmAlgId.ECC)
_USES: Final = TpmaObject.SIGN | TpmaObject.DECRYPT
_BOUND: Final = TpmaObject.FIXED_TPM | TpmaObject.FIXED_PARENT
_KEYED_HASH_SCHEME: Final[dict[int, int]] = {
    TpmaObject.SIGN: TpmAlgId.HMAC,
    TpmaObject.DECRYPT: TpmAlgId.XOR,
}
_RSA_SIGNS: Final = (TpmAlgId.RSASSA, TpmAlgId.RSAPSS)
_RSA_DECRYPTS: Final = (TpmAlgId.RSAES, TpmAlgId.OAEP)
_ECC_SIGNS: Final = (TpmAlgId.ECDSA, TpmAlgId.ECDAA, TpmAlgId.ECSCHNORR)
_ECC_DECRYPTS: Final = (TpmAlgId.ECDH, TpmAlgId.ECMQV)


def check_creation(parent: TpmObject | None, public: Public, data_size: int) -> None:
    """CreateChecks: what only a new object must meet, then `check_attributes`.

    ``data_size``: bytes of secret that the caller gives.
    """
    from_tpm = public.has(TpmaObject.SENSITIVE_DATA_ORIGIN)
    if not from_tpm and not data_size:
        raise Refusal(TpmRc.ATTRIBUTES)
    if parent is not None and from_tpm and data_size:
        raise Refusal(TpmRc.ATTRIBUTES)
    if from_tpm:
        if public.type == TpmAlgId.KEYEDHASH and not public.has(_USES):
            raise Refusal(TpmRc.ATTRIBUTES)  # sealed data comes from the caller
    elif public.type in _ASYMMETRIC or (
        public.has(TpmaObject.RESTRICTED) and public.has(_BOUND)
    ):
        raise Refusal(TpmRc.ATTRIBUTES)
    check_attributes(parent, public)


def check_attributes(parent: TpmObject | None, public: Public) -> None:
    """PublicAttributesValidation, then `check_schemes`; no parent: a primary object."""
    if public.name_alg == TpmAlgId.NULL:
        raise Refusal(TpmRc.HASH)
    if public.auth_policy and len(public.auth_policy) != DIGEST_SIZE[public.name_alg]:
        raise Refusal(TpmRc.SIZE)
    _check_ties(parent, public)
    _check_duplication(parent, public)
    _check_uses(public)
    if parent is not None and parent.is_derivation_parent:
        _check_derived(parent, public)
    check_schemes(parent, public)


def _check_ties(parent: TpmObject | None, public: Public) -> None:
    """fixedTPM only below fixedTPM; there fixedParent says the same."""
    fixed = public.has(TpmaObject.FIXED_TPM)
    if parent is None or parent.public.has(TpmaObject.FIXED_TPM):
        if public.has(TpmaObject.FIXED_PARENT) is not fixed:
            raise Refusal(TpmRc.ATTRIBUTES)
    elif fixed:
        raise Refusal(TpmRc.ATTRIBUTES)


def _check_duplication(parent: TpmObject | None, public: Public) -> None:
    """encryptedDuplication: never with fixedTPM, and handed down by other parents."""
    encrypted = public.has(TpmaObject.ENCRYPTED_DUPLICATION)
    if encrypted and public.has(TpmaObject.FIXED_TPM):
        raise Refusal(TpmRc.ATTRIBUTES)
    if parent is None or parent.public.has(TpmaObject.FIXED_TPM):
        return
    if parent.public.has(TpmaObject.ENCRYPTED_DUPLICATION) is not encrypted:
        raise Refusal(TpmRc.ATTRIBUTES)


def _check_uses(public: Public) -> None:
    """A restricted key does one thing; only data has no use at all."""
    uses = public.attributes & _USES
    if uses not in (0, _USES):
        return
    is_data = uses == 0 and public.type == TpmAlgId.KEYEDHASH
    if public.has(TpmaObject.RESTRICTED) or (uses == 0 and not is_data):
        raise Refusal(TpmRc.ATTRIBUTES)


def _check_derived(parent: TpmObject, public: Public) -> None:
    """A derived object has no life of its own: it cannot leave its parent."""
    like_parent = parent.public.has(TpmaObject.FIXED_TPM)
    stays = public.has(TpmaObject.FIXED_PARENT)
    if not stays or public.has(TpmaObject.FIXED_TPM) is not like_parent:
        raise Refusal(TpmRc.ATTRIBUTES)


def check_schemes(parent: TpmObject | None, public: Public) -> None:
    """SchemeChecks: the algorithms fit the use; a storage key's fit its parent's."""
    if isinstance(public.parameters, KeyedHashParms):
        _check_keyed_hash(public, public.parameters.scheme)
    elif public.type != TpmAlgId.SYMCIPHER:
        _check_asymmetric(public)
    if public.is_storage and public.has(TpmaObject.FIXED_PARENT):
        _check_like_parent(parent, public)


def _check_keyed_hash(public: Public, scheme: Scheme) -> None:
    """Both uses or none: no scheme; else HMAC signs, and XOR decrypts.

    A derivation parent has XOR with its key derivation.
    """
    uses = public.attributes & _USES
    wanted = _KEYED_HASH_SCHEME.get(uses, TpmAlgId.NULL)
    if scheme.alg != wanted:
        raise Refusal(TpmRc.SCHEME)
    if public.protects and scheme.kdf != TpmAlgId.KDF1_SP800_108:
        raise Refusal(TpmRc.SCHEME)


def _check_asymmetric(public: Public) -> None:
    parameters = public.parameters
    if not isinstance(parameters, RsaParms | EccParms):
        raise Refusal(TpmRc.TYPE)
    scheme = parameters.scheme.alg
    storage = public.is_storage
    if storage and scheme != TpmAlgId.NULL:
        raise Refusal(TpmRc.SCHEME)
    if not storage:
        _check_scheme(public, scheme)
    if isinstance(parameters, EccParms) and parameters.kdf.alg != TpmAlgId.NULL:
        raise Refusal(TpmRc.KDF)
    if storage is (parameters.symmetric.alg == TpmAlgId.NULL):
        raise Refusal(TpmRc.SYMMETRIC)


def _check_scheme(public: Public, scheme: int) -> None:
    """A scheme that signs for a key that signs; both uses leave it to the command."""
    is_rsa = public.type == TpmAlgId.RSA
    uses = public.attributes & _USES
    if scheme == TpmAlgId.NULL:
        if public.has(TpmaObject.RESTRICTED):
            raise Refusal(TpmRc.SCHEME)
        return
    allowed: tuple[TpmAlgId, ...] = ()
    if uses == TpmaObject.SIGN:
        allowed = _RSA_SIGNS if is_rsa else _ECC_SIGNS
    elif uses == TpmaObject.DECRYPT:
        allowed = _RSA_DECRYPTS if is_rsa else _ECC_DECRYPTS
    if scheme not in allowed:
        raise Refusal(TpmRc.SCHEME)


def _check_like_parent(parent: TpmObject | None, public: Public) -> None:
    """A storage key that stays with its parent protects in the same way."""
    if parent is None:
        return
    if public.name_alg != parent.public.name_alg:
        raise Refusal(TpmRc.HASH)
    if public.symmetric != parent.public.symmetric:
        raise Refusal(TpmRc.SYMMETRIC)
