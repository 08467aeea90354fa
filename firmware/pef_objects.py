"""The keys and the index of a machine's TPM, and their policies (esm.md 4.1, 4.2)."""

from __future__ import annotations

from typing import Final

from pefstack.hw.tpm import policy
from pefstack.hw.tpm.codes import (
    DIGEST_SIZE,
    TpmAlgId,
    TpmaNv,
    TpmaObject,
    TpmCc,
    TpmRh,
)
from pefstack.hw.tpm.names import handle_name, nv_name
from pefstack.hw.tpm.nv_public import NvPublic
from pefstack.hw.tpm.public import Public, RsaParms
from pefstack.hw.tpm.scheme import Scheme
from pefstack.hw.tpm.symmetric_def import Symmetric

PARENT: Final = 0x81800000  # of the wrapping key
WRAPPING_KEY: Final = 0x81800001
STORAGE_KEY: Final = 0x81800002
NV_INDEX: Final = 0x01C101A0  # NV_Location_X, unless a machine has another
NV_SIZE: Final = 8
RSA_BITS: Final = 2048
DEBUG_PCR: Final = 16  # what branch B of real machines asks for: anybody can reset it
PROFILES: Final = ("real", "strict")

_FRESH: Final = bytes(DIGEST_SIZE[TpmAlgId.SHA256])
_AES: Final = Symmetric(alg=TpmAlgId.AES, key_bits=128, mode=TpmAlgId.CFB)
_STORAGE_ATTRIBUTES: Final = (
    TpmaObject.FIXED_TPM
    | TpmaObject.FIXED_PARENT
    | TpmaObject.SENSITIVE_DATA_ORIGIN
    | TpmaObject.NO_DA
    | TpmaObject.RESTRICTED
    | TpmaObject.DECRYPT
)
_WRAPPING_ATTRIBUTES: Final = (
    TpmaObject.SENSITIVE_DATA_ORIGIN
    | TpmaObject.NO_DA
    | TpmaObject.ENCRYPTED_DUPLICATION
    | TpmaObject.DECRYPT
)
_NV_ATTRIBUTES: Final = (
    TpmaNv.PLATFORMCREATE | TpmaNv.AUTHREAD | TpmaNv.AUTHWRITE | TpmaNv.NO_DA
)


def nv_policy() -> bytes:
    """Of NV_Location_X: the password is changed by platform authority alone."""
    changes = policy.policy_command_code(_FRESH, TpmCc.NV_CHANGE_AUTH)
    return policy.policy_secret(changes, handle_name(TpmRh.PLATFORM))


def nv_public(index: int = NV_INDEX, *, written: bool = True) -> NvPublic:
    """NV_Location_X; policies hold its Name once it was written."""
    return NvPublic(
        index=index,
        name_alg=TpmAlgId.SHA256,
        attributes=_NV_ATTRIBUTES | (TpmaNv.WRITTEN if written else 0),
        auth_policy=nv_policy(),
        data_size=NV_SIZE,
    )


def nv_index_name(index: int = NV_INDEX) -> bytes:
    """The Name that every machine's index of this number has: computed, not asked."""
    return nv_name(nv_public(index))


def storage_policy(index: int, pcr: int, value: bytes) -> bytes:
    """Of the storage key and of what is sealed to it: the password, and the PCR."""
    password = policy.policy_secret(_FRESH, nv_index_name(index))
    return policy.policy_pcr(password, {TpmAlgId.SHA256: (pcr,)}, [value])


def wrapping_policies(profile: str) -> tuple[bytes, bytes]:
    """Branches A (use) and B (change of the password) of the wrapping key.

    ``real``: B asks for PCR 16 alone, as published. ``strict``: for the platform.
    """
    use = policy.policy_command_code(_FRESH, TpmCc.RSA_DECRYPT)
    changes = policy.policy_command_code(_FRESH, TpmCc.OBJECT_CHANGE_AUTH)
    if profile == "real":
        changes = policy.policy_pcr(changes, {TpmAlgId.SHA256: (DEBUG_PCR,)}, [_FRESH])
    else:
        changes = policy.policy_secret(changes, handle_name(TpmRh.PLATFORM))
    return policy.policy_auth_value(use), changes


def either(branches: tuple[bytes, bytes]) -> bytes:
    """PolicyOR of the two."""
    return policy.policy_or(_FRESH, branches)


def parent_template() -> Public:
    """The wrapping key's parent: an empty authValue suffices to use it."""
    attributes = _STORAGE_ATTRIBUTES | TpmaObject.USER_WITH_AUTH
    return _rsa(attributes, RsaParms(symmetric=_AES, key_bits=RSA_BITS))


def storage_template(auth_policy: bytes) -> Public:
    """The storage key: used by its policy alone."""
    parameters = RsaParms(symmetric=_AES, key_bits=RSA_BITS)
    return _rsa(_STORAGE_ATTRIBUTES, parameters, auth_policy)


def wrapping_template(branches: tuple[bytes, bytes]) -> Public:
    """The wrapping key of real machines."""
    oaep = Scheme(alg=TpmAlgId.OAEP, hash_alg=TpmAlgId.SHA256)
    parameters = RsaParms(scheme=oaep, key_bits=RSA_BITS)
    return _rsa(_WRAPPING_ATTRIBUTES, parameters, either(branches))


def _rsa(attributes: int, parameters: RsaParms, auth_policy: bytes = b"") -> Public:
    return Public(
        type=TpmAlgId.RSA,
        name_alg=TpmAlgId.SHA256,
        attributes=attributes,
        auth_policy=auth_policy,
        parameters=parameters,
    )
