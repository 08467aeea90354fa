"""TPMT schemes: how a key signs, decrypts, or derives (Part 2, 11.1.20 to 11.2.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pefstack.hw.tpm.codes import TpmAlgId
from pefstack.hw.tpm.interface_types import (
    TPMI_ALG_ECC_SCHEME,
    TPMI_ALG_HASH,
    TPMI_ALG_KDF_OR_NULL,
    TPMI_ALG_KEYEDHASH_SCHEME,
    TPMI_ALG_RSA_DECRYPT,
    TPMI_ALG_RSA_SCHEME,
    TPMI_ALG_SIG_SCHEME_OR_NULL,
)
from pefstack.hw.tpm.structures import UINT16, Reader, Unmarshal, put_uint16

_BARE: Final = frozenset((int(TpmAlgId.NULL), int(TpmAlgId.RSAES)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """A scheme and its details: a hash, ECDAA's count, XOR's key derivation."""

    alg: int = TpmAlgId.NULL
    hash_alg: int = TpmAlgId.NULL
    count: int = 0
    kdf: int = TpmAlgId.NULL

    def to_bytes(self) -> bytes:
        """The structure; a member that the algorithm does not have is left out."""
        head = put_uint16(self.alg)
        if self.alg in _BARE:
            return head
        head += put_uint16(self.hash_alg)
        if self.alg == TpmAlgId.ECDAA:
            return head + put_uint16(self.count)
        return head + put_uint16(self.kdf) if self.alg == TpmAlgId.XOR else head


NULL_SCHEME: Final = Scheme()


def _scheme(algorithm: Unmarshal[int]) -> Unmarshal[Scheme]:
    def unmarshal(reader: Reader) -> Scheme:
        alg = algorithm(reader)
        if alg == TpmAlgId.NULL:
            return NULL_SCHEME
        if alg == TpmAlgId.RSAES:
            return Scheme(alg=alg)
        hash_alg = TPMI_ALG_HASH(reader)
        if alg == TpmAlgId.ECDAA:
            return Scheme(alg=alg, hash_alg=hash_alg, count=UINT16(reader))
        if alg == TpmAlgId.XOR:
            kdf = TPMI_ALG_KDF_OR_NULL(reader)
            return Scheme(alg=alg, hash_alg=hash_alg, kdf=kdf)
        return Scheme(alg=alg, hash_alg=hash_alg)

    return unmarshal


# Every command and structure takes NULL in each of these.
TPMT_RSA_SCHEME: Final = _scheme(TPMI_ALG_RSA_SCHEME)
TPMT_RSA_DECRYPT: Final = _scheme(TPMI_ALG_RSA_DECRYPT)
TPMT_ECC_SCHEME: Final = _scheme(TPMI_ALG_ECC_SCHEME)
TPMT_SIG_SCHEME: Final = _scheme(TPMI_ALG_SIG_SCHEME_OR_NULL)
TPMT_KEYEDHASH_SCHEME: Final = _scheme(TPMI_ALG_KEYEDHASH_SCHEME)
TPMT_KDF_SCHEME: Final = _scheme(TPMI_ALG_KDF_OR_NULL)
