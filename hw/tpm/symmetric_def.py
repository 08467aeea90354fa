"""TPMT_SYM_DEF and TPMT_SYM_DEF_OBJECT: a symmetric algorithm (Part 2, 11.1.6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pefstack.hw.tpm.codes import TpmAlgId
from pefstack.hw.tpm.interface_types import (
    TPMI_AES_KEY_BITS,
    TPMI_ALG_HASH,
    TPMI_ALG_SYM,
    TPMI_ALG_SYM_MODE_OR_NULL,
    TPMI_ALG_SYM_OBJECT,
    TPMI_ALG_SYM_OBJECT_OR_NULL,
)
from pefstack.hw.tpm.structures import Reader, Unmarshal, put_uint16


@dataclass(frozen=True, slots=True, kw_only=True)
class Symmetric:
    """Algorithm, key size in bits, mode; zeros after TPM_ALG_NULL.

    For TPM_ALG_XOR ``key_bits`` holds the hash, as TPMU_SYM_KEY_BITS does.
    """

    alg: int = TpmAlgId.NULL
    key_bits: int = 0
    mode: int = 0

    def to_bytes(self) -> bytes:
        """The structure; a member that the algorithm does not have is left out."""
        if self.alg == TpmAlgId.NULL:
            return put_uint16(self.alg)
        head = put_uint16(self.alg) + put_uint16(self.key_bits)
        return head if self.alg == TpmAlgId.XOR else head + put_uint16(self.mode)


NULL_SYMMETRIC: Final = Symmetric()


def _symmetric(algorithm: Unmarshal[int]) -> Unmarshal[Symmetric]:
    def unmarshal(reader: Reader) -> Symmetric:
        alg = algorithm(reader)
        if alg == TpmAlgId.NULL:
            return NULL_SYMMETRIC
        if alg == TpmAlgId.XOR:
            return Symmetric(alg=alg, key_bits=TPMI_ALG_HASH(reader))
        key_bits = TPMI_AES_KEY_BITS(reader)
        mode = TPMI_ALG_SYM_MODE_OR_NULL(reader)
        return Symmetric(alg=alg, key_bits=key_bits, mode=mode)

    return unmarshal


TPMT_SYM_DEF: Final = _symmetric(TPMI_ALG_SYM)  # with NULL, as every command has it
TPMT_SYM_DEF_OBJECT: Final = _symmetric(TPMI_ALG_SYM_OBJECT_OR_NULL)  # likewise
TPMT_SYM_DEF_OBJECT_NOT_NULL: Final = _symmetric(TPMI_ALG_SYM_OBJECT)
