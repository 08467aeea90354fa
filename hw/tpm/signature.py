"""TPMT_SIGNATURE: a signature and how it was made (Part 2, 11.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pefstack.hw.tpm.buffers import TPM2B_ECC_PARAMETER, TPM2B_PUBLIC_KEY_RSA
from pefstack.hw.tpm.codes import TpmAlgId
from pefstack.hw.tpm.interface_types import (
    TPMI_ALG_HASH,
    TPMI_ALG_SIG_SCHEME,
    TPMI_ALG_SIG_SCHEME_OR_NULL,
)
from pefstack.hw.tpm.structures import (
    Reader,
    Unmarshal,
    pair,
    put_pair,
    put_tpm2b,
    put_uint16,
)

_RSA: Final = frozenset((int(TpmAlgId.RSASSA), int(TpmAlgId.RSAPSS)))
_PAIR: Final = pair(TPM2B_ECC_PARAMETER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """TPMT_SIGNATURE; ``signature``: bytes of RSA, (r, s) of ECC, a digest of HMAC."""

    alg: int = TpmAlgId.NULL
    hash_alg: int = TpmAlgId.NULL
    signature: bytes | tuple[bytes, bytes] = b""

    def to_bytes(self) -> bytes:
        """The structure; a digest has no length before it."""
        if self.alg == TpmAlgId.NULL:
            return put_uint16(self.alg)
        head = put_uint16(self.alg) + put_uint16(self.hash_alg)
        if not isinstance(self.signature, bytes):
            return head + put_pair(self.signature)
        return head + (put_tpm2b if self.alg in _RSA else bytes)(self.signature)


def _signature(algorithm: Unmarshal[int]) -> Unmarshal[Signature]:
    def unmarshal(reader: Reader) -> Signature:
        alg = algorithm(reader)
        if alg == TpmAlgId.NULL:
            return Signature()
        hash_alg = TPMI_ALG_HASH(reader)
        value = _value(reader, alg, hash_alg)
        return Signature(alg=alg, hash_alg=hash_alg, signature=value)

    return unmarshal


def _value(reader: Reader, alg: int, hash_alg: int) -> bytes | tuple[bytes, bytes]:
    if alg in _RSA:
        return TPM2B_PUBLIC_KEY_RSA(reader)
    if alg == TpmAlgId.HMAC:
        return reader.take(reader.digest_sizes[hash_alg])
    return _PAIR(reader)


TPMT_SIGNATURE: Final = _signature(TPMI_ALG_SIG_SCHEME)
TPMT_SIGNATURE_OR_NULL: Final = _signature(TPMI_ALG_SIG_SCHEME_OR_NULL)
