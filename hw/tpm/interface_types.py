"""TPMI and TPM constants in commands: numbers of a closed set (Part 2, section 9)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pefstack.hw.tpm.codes import (
    AES_KEY_BITS,
    HANDLE_TYPE_SHIFT,
    MAX_ACTIVE_SESSIONS,
    RSA_KEY_BITS,
    TpmAlgId,
    TpmaNv,
    TpmaObject,
    TpmClockAdjust,
    TpmEcc,
    TpmEo,
    TpmHt,
    TpmRh,
    TpmSe,
)
from pefstack.hw.tpm.response_codes import Refusal, TpmRc
from pefstack.hw.tpm.structures import (
    UINT8,
    UINT16,
    UINT32,
    Reader,
    Unmarshal,
    hash_algorithm,
    hash_or_null,
    one_of,
)

_NULL: Final = TpmAlgId.NULL
_LAST_SAVED: Final = 0x80000002  # an object that Startup(CLEAR) ends
_MODES: Final = (
    TpmAlgId.CTR,
    TpmAlgId.OFB,
    TpmAlgId.CBC,
    TpmAlgId.CFB,
    TpmAlgId.ECB,
)
_RSA_SIGN: Final = (TpmAlgId.RSASSA, TpmAlgId.RSAPSS)
_RSA_DECRYPT: Final = (TpmAlgId.RSAES, TpmAlgId.OAEP)
_ECC_SIGN: Final = (TpmAlgId.ECDSA, TpmAlgId.ECDAA, TpmAlgId.ECSCHNORR)
_ECC_EXCHANGE: Final = (TpmAlgId.ECDH, TpmAlgId.ECMQV)


def _of(base: Unmarshal[int], values: Iterable[int], rc: int) -> Unmarshal[int]:
    return one_of(base, frozenset(int(value) for value in values), rc)


def _without(base: Unmarshal[int], reserved: int) -> Unmarshal[int]:
    """TPMA: TPM_RC_RESERVED_BITS when a reserved bit is set."""

    def unmarshal(reader: Reader) -> int:
        value = base(reader)
        if value & reserved:
            raise Refusal(TpmRc.RESERVED_BITS)
        return value

    return unmarshal


TPMI_ALG_HASH: Final = hash_algorithm
TPMI_ALG_HASH_OR_NULL: Final = hash_or_null
TPMI_ALG_PUBLIC: Final = _of(
    UINT16,
    (TpmAlgId.RSA, TpmAlgId.ECC, TpmAlgId.KEYEDHASH, TpmAlgId.SYMCIPHER),
    TpmRc.TYPE,
)
TPMI_ALG_SYM: Final = _of(UINT16, (TpmAlgId.AES, TpmAlgId.XOR, _NULL), TpmRc.SYMMETRIC)
TPMI_ALG_SYM_OBJECT: Final = _of(UINT16, (TpmAlgId.AES,), TpmRc.SYMMETRIC)
TPMI_ALG_SYM_OBJECT_OR_NULL: Final = _of(UINT16, (TpmAlgId.AES, _NULL), TpmRc.SYMMETRIC)
TPMI_ALG_SYM_MODE_OR_NULL: Final = _of(UINT16, (*_MODES, _NULL), TpmRc.MODE)
TPMI_ALG_CIPHER_MODE_OR_NULL: Final = TPMI_ALG_SYM_MODE_OR_NULL
TPMI_AES_KEY_BITS: Final = _of(UINT16, AES_KEY_BITS, TpmRc.VALUE)
TPMI_RSA_KEY_BITS: Final = _of(UINT16, RSA_KEY_BITS, TpmRc.VALUE)
TPMI_ECC_CURVE: Final = _of(UINT16, TpmEcc, TpmRc.CURVE)
TPMI_ALG_RSA_SCHEME: Final = _of(
    UINT16, (*_RSA_SIGN, *_RSA_DECRYPT, _NULL), TpmRc.VALUE
)
TPMI_ALG_RSA_DECRYPT: Final = _of(UINT16, (*_RSA_DECRYPT, _NULL), TpmRc.VALUE)
TPMI_ALG_ECC_SCHEME: Final = _of(
    UINT16, (*_ECC_SIGN, *_ECC_EXCHANGE, _NULL), TpmRc.SCHEME
)
TPMI_ECC_KEY_EXCHANGE: Final = _of(UINT16, _ECC_EXCHANGE, TpmRc.SCHEME)
TPMI_ALG_SIG_SCHEME: Final = _of(
    UINT16, (*_RSA_SIGN, *_ECC_SIGN, TpmAlgId.HMAC), TpmRc.SCHEME
)
TPMI_ALG_SIG_SCHEME_OR_NULL: Final = _of(
    UINT16, (*_RSA_SIGN, *_ECC_SIGN, TpmAlgId.HMAC, _NULL), TpmRc.SCHEME
)
TPMI_ALG_KEYEDHASH_SCHEME: Final = _of(
    UINT16, (TpmAlgId.HMAC, TpmAlgId.XOR, _NULL), TpmRc.VALUE
)
TPMI_ALG_KDF_OR_NULL: Final = _of(
    UINT16,
    (
        TpmAlgId.MGF1,
        TpmAlgId.KDF1_SP800_56A,
        TpmAlgId.KDF2,
        TpmAlgId.KDF1_SP800_108,
        _NULL,
    ),
    TpmRc.KDF,
)

TPMI_RH_HIERARCHY: Final = _of(
    UINT32,
    (TpmRh.OWNER, TpmRh.PLATFORM, TpmRh.ENDORSEMENT, TpmRh.NULL),
    TpmRc.VALUE,
)
TPMI_RH_ENABLES: Final = _of(
    UINT32,
    (TpmRh.OWNER, TpmRh.PLATFORM, TpmRh.ENDORSEMENT, TpmRh.PLATFORM_NV),
    TpmRc.VALUE,
)
TPM_SE: Final = _of(UINT8, TpmSe, TpmRc.VALUE)
TPM_EO: Final = _of(UINT16, TpmEo, TpmRc.VALUE)
TPMA_LOCALITY: Final = UINT8
TPMA_OBJECT: Final = _without(UINT32, TpmaObject.RESERVED)
TPMA_NV: Final = _without(UINT32, TpmaNv.RESERVED)


def of_handle_type(*types: int) -> Unmarshal[int]:
    """A handle as a parameter, of one of the TPM_HT ``types``; else TPM_RC_VALUE."""
    allowed = frozenset(types)

    def unmarshal(reader: Reader) -> int:
        handle = UINT32(reader)
        if handle >> HANDLE_TYPE_SHIFT not in allowed:
            raise Refusal(TpmRc.VALUE)
        return handle

    return unmarshal


def clock_adjust(reader: Reader) -> int:
    """TPM_CLOCK_ADJUST: a signed byte from -3 to 3, else TPM_RC_VALUE."""
    value = int.from_bytes(reader.take(1), "big", signed=True)
    if abs(value) > TpmClockAdjust.COARSE_FASTER:
        raise Refusal(TpmRc.VALUE)
    return value


def context_handle(reader: Reader) -> int:
    """TPMI_DH_CONTEXT: a session that can be, or a transient object.

    How many objects there can be the object store knows; the reference answers
    TPM_RC_VALUE for a number too high.
    """
    handle = UINT32(reader)
    kind = handle >> HANDLE_TYPE_SHIFT
    is_session = kind in (TpmHt.HMAC_SESSION, TpmHt.POLICY_SESSION)
    if is_session and handle & 0xFFFFFF < MAX_ACTIVE_SESSIONS:
        return handle
    if kind != TpmHt.TRANSIENT:
        raise Refusal(TpmRc.VALUE)
    return handle


def saved_handle(reader: Reader) -> int:
    """TPMI_DH_SAVED: a session, or 0x80000000 to 2 for objects; else TPM_RC_VALUE."""
    handle = TPMI_DH_CONTEXT(reader)
    if handle > _LAST_SAVED:
        raise Refusal(TpmRc.VALUE)
    return handle


TPM_CLOCK_ADJUST: Final = clock_adjust
TPMI_DH_SAVED: Final = saved_handle
TPMI_DH_PERSISTENT: Final = of_handle_type(TpmHt.PERSISTENT)
TPMI_DH_CONTEXT: Final = context_handle
TPMI_RH_NV_INDEX: Final = of_handle_type(TpmHt.NV_INDEX)
