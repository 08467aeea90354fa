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
        public.type == TpmAlgId.SYMCIPHER
        and public.has(TpmaObject.RESTRICTED)
        and public.has(_BOUND)
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
    handed = parent.public.has(TpmaObject.ENCRYPTED_DUPLICATION)
    if public.has(TpmaObject.FIXED_PARENT) and handed is not encrypted:
        raise Refusal(TpmRc.ATTRIBUTES)


def _check_uses(public: Public) -> None:
    """A restricted key does one thing; only data has no use at all."""
    uses = public.attributes & _USES
    if uses not in (0, _USES):
        return
    if public.has(TpmaObject.RESTRICTED):
        raise Refusal(TpmRc.ATTRIBUTES)
    if uses == 0 and public.type != TpmAlgId.KEYEDHASH:
        raise Refusal(TpmRc.TYPE)


def check_schemes(parent: TpmObject | None, public: Public) -> None:
    """SchemeChecks: the algorithms fit the use; a storage key's fit its parent's."""
    if public.type == TpmAlgId.SYMCIPHER:
        _check_cipher(public)
    elif isinstance(public.parameters, KeyedHashParms):
        _check_keyed_hash(public, public.parameters.scheme)
    else:
        _check_asymmetric(public)
    if public.is_storage and public.has(TpmaObject.FIXED_PARENT):
        _check_like_parent(parent, public)


def _check_cipher(public: Public) -> None:
    mode = public.symmetric.mode
    if public.is_storage and mode not in (TpmAlgId.CFB, TpmAlgId.NULL):
        raise Refusal(TpmRc.SCHEME)


def _check_keyed_hash(public: Public, scheme: Scheme) -> None:
    uses = public.attributes & _USES
    if uses in (0, _USES):
        if scheme.alg != TpmAlgId.NULL:
            raise Refusal(TpmRc.SCHEME)
    elif uses == TpmaObject.SIGN:
        allowed = [TpmAlgId.HMAC]
        if not public.has(TpmaObject.RESTRICTED):
            allowed.append(TpmAlgId.NULL)
        if scheme.alg not in allowed:
            raise Refusal(TpmRc.SCHEME)
    else:
        _check_xor(public, scheme)


def _check_xor(public: Public, scheme: Scheme) -> None:
    """Of a decrypting key; restricted it is a derivation parent, with its KDF."""
    restricted = public.has(TpmaObject.RESTRICTED)
    if scheme.alg != TpmAlgId.XOR:
        if scheme.alg == TpmAlgId.NULL and not restricted:
            return
        raise Refusal(TpmRc.SCHEME)
    if restricted and scheme.kdf != TpmAlgId.KDF1_SP800_108:
        raise Refusal(TpmRc.SCHEME)


def _check_asymmetric(public: Public) -> None:
    parameters = public.parameters
    if not isinstance(parameters, RsaParms | EccParms):
        raise Refusal(TpmRc.TYPE)
    symmetric, scheme = parameters.symmetric, parameters.scheme.alg
    storage = public.is_storage
    if storage and scheme != TpmAlgId.NULL:
        raise Refusal(TpmRc.SCHEME)
    if storage and symmetric.alg == TpmAlgId.NULL:
        raise Refusal(TpmRc.SYMMETRIC)
    if storage and symmetric.mode not in (TpmAlgId.CFB, TpmAlgId.NULL):
        raise Refusal(TpmRc.MODE)
    if not storage and symmetric.alg != TpmAlgId.NULL:
        raise Refusal(TpmRc.SYMMETRIC)
    if not storage:
        _check_scheme(public, scheme)
    if isinstance(parameters, EccParms) and parameters.kdf.alg != TpmAlgId.NULL:
        raise Refusal(TpmRc.KDF)


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
