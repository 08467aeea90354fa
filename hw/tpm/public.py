"""TPMT_PUBLIC: the public area of an object (Part 2, 12.2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from pefstack.hw.tpm.buffers import (
    TPM2B_DIGEST,
    TPM2B_PUBLIC_KEY_RSA,
    TPMS_DERIVE,
    TPMS_ECC_POINT,
)
from pefstack.hw.tpm.codes import TpmAlgId, TpmaObject
from pefstack.hw.tpm.interface_types import (
    TPMA_OBJECT,
    TPMI_ALG_HASH,
    TPMI_ALG_HASH_OR_NULL,
    TPMI_ALG_PUBLIC,
    TPMI_ECC_CURVE,
    TPMI_RSA_KEY_BITS,
)
from pefstack.hw.tpm.scheme import (
    NULL_SCHEME,
    TPMT_ECC_SCHEME,
    TPMT_KDF_SCHEME,
    TPMT_KEYEDHASH_SCHEME,
    TPMT_RSA_SCHEME,
    Scheme,
)
from pefstack.hw.tpm.structures import (
    UINT32,
    Reader,
    Unmarshal,
    put_pair,
    put_tpm2b,
    put_uint16,
    put_uint32,
    sized,
)
from pefstack.hw.tpm.symmetric_def import (
    NULL_SYMMETRIC,
    TPMT_SYM_DEF_OBJECT,
    TPMT_SYM_DEF_OBJECT_NOT_NULL,
    Symmetric,
)

Unique = bytes | tuple[bytes, bytes]
"""TPMU_PUBLIC_ID: a modulus or digest; (x, y) of a point; (label, context)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RsaParms:
    """TPMS_RSA_PARMS; exponent 0 stands for 65537."""

    symmetric: Symmetric = NULL_SYMMETRIC
    scheme: Scheme = NULL_SCHEME
    key_bits: int
    exponent: int = 0

    def to_bytes(self) -> bytes:
        """The structure."""
        head = self.symmetric.to_bytes() + self.scheme.to_bytes()
        return head + put_uint16(self.key_bits) + put_uint32(self.exponent)


@dataclass(frozen=True, slots=True, kw_only=True)
class EccParms:
    """TPMS_ECC_PARMS."""

    symmetric: Symmetric = NULL_SYMMETRIC
    scheme: Scheme = NULL_SCHEME
    curve: int
    kdf: Scheme = NULL_SCHEME

    def to_bytes(self) -> bytes:
        """The structure."""
        head = self.symmetric.to_bytes() + self.scheme.to_bytes()
        return head + put_uint16(self.curve) + self.kdf.to_bytes()


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyedHashParms:
    """TPMS_KEYEDHASH_PARMS: an HMAC or XOR key, or with NULL sealed data."""

    scheme: Scheme = NULL_SCHEME

    def to_bytes(self) -> bytes:
        """The structure."""
        return self.scheme.to_bytes()


@dataclass(frozen=True, slots=True, kw_only=True)
class SymCipherParms:
    """TPMS_SYMCIPHER_PARMS."""

    symmetric: Symmetric

    def to_bytes(self) -> bytes:
        """The structure."""
        return self.symmetric.to_bytes()


Parms = RsaParms | EccParms | KeyedHashParms | SymCipherParms
"""TPMU_PUBLIC_PARMS."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Public:
    """TPMT_PUBLIC; ``attributes`` is a TPMA_OBJECT."""

    type: int
    name_alg: int
    attributes: int
    auth_policy: bytes = b""
    parameters: Parms
    unique: Unique = b""

    def has(self, attribute: int) -> bool:
        """Whether any of these attributes (TPMA_OBJECT) is set."""
        return bool(self.attributes & attribute)

    @property
    def protects(self) -> bool:
        """Restricted and decrypting: a storage key or a derivation parent."""
        wanted = TpmaObject.RESTRICTED | TpmaObject.DECRYPT
        return self.attributes & (wanted | TpmaObject.SIGN) == wanted

    @property
    def is_storage(self) -> bool:
        """A key that protects others: not a derivation parent."""
        return self.protects and self.type != TpmAlgId.KEYEDHASH

    @property
    def symmetric(self) -> Symmetric:
        """The cipher of its parameters; NULL where a type has none."""
        if isinstance(self.parameters, KeyedHashParms):
            return NULL_SYMMETRIC
        return self.parameters.symmetric

    def to_bytes(self) -> bytes:
        """The structure, as its Name is the digest of."""
        head = put_uint16(self.type) + put_uint16(self.name_alg)
        head += put_uint32(self.attributes) + put_tpm2b(self.auth_policy)
        return head + self.parameters.to_bytes() + _put_unique(self.unique)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicParms:
    """TPMT_PUBLIC_PARMS: what TestParms asks about."""

    type: int
    parameters: Parms

    def to_bytes(self) -> bytes:
        """The structure."""
        return put_uint16(self.type) + self.parameters.to_bytes()


def _put_unique(unique: Unique) -> bytes:
    return put_tpm2b(unique) if isinstance(unique, bytes) else put_pair(unique)


def _rsa(reader: Reader) -> RsaParms:
    return RsaParms(
        symmetric=TPMT_SYM_DEF_OBJECT(reader),
        scheme=TPMT_RSA_SCHEME(reader),
        key_bits=TPMI_RSA_KEY_BITS(reader),
        exponent=UINT32(reader),
    )


def _ecc(reader: Reader) -> EccParms:
    return EccParms(
        symmetric=TPMT_SYM_DEF_OBJECT(reader),
        scheme=TPMT_ECC_SCHEME(reader),
        curve=TPMI_ECC_CURVE(reader),
        kdf=TPMT_KDF_SCHEME(reader),
    )


def _keyed_hash(reader: Reader) -> KeyedHashParms:
    return KeyedHashParms(scheme=TPMT_KEYEDHASH_SCHEME(reader))


def _sym_cipher(reader: Reader) -> SymCipherParms:
    return SymCipherParms(symmetric=TPMT_SYM_DEF_OBJECT_NOT_NULL(reader))


_PARMS: Final[Mapping[int, Callable[[Reader], Parms]]] = {
    TpmAlgId.RSA: _rsa,
    TpmAlgId.ECC: _ecc,
    TpmAlgId.KEYEDHASH: _keyed_hash,
    TpmAlgId.SYMCIPHER: _sym_cipher,
}
_UNIQUE: Final[Mapping[int, Callable[[Reader], Unique]]] = {
    TpmAlgId.RSA: TPM2B_PUBLIC_KEY_RSA,
    TpmAlgId.ECC: TPMS_ECC_POINT,
    TpmAlgId.KEYEDHASH: TPM2B_DIGEST,
    TpmAlgId.SYMCIPHER: TPM2B_DIGEST,
}
_DERIVE: Final[Mapping[int, Callable[[Reader], Unique]]] = dict.fromkeys(
    _PARMS, TPMS_DERIVE
)


def _public(
    name_alg: Unmarshal[int], unique: Mapping[int, Callable[[Reader], Unique]]
) -> Unmarshal[Public]:
    def unmarshal(reader: Reader) -> Public:
        kind = TPMI_ALG_PUBLIC(reader)
        return Public(
            type=kind,
            name_alg=name_alg(reader),
            attributes=TPMA_OBJECT(reader),
            auth_policy=TPM2B_DIGEST(reader),
            parameters=_PARMS[kind](reader),
            unique=unique[kind](reader),
        )

    return unmarshal


def public_parms(reader: Reader) -> PublicParms:
    """TPMT_PUBLIC_PARMS."""
    kind = TPMI_ALG_PUBLIC(reader)
    return PublicParms(type=kind, parameters=_PARMS[kind](reader))


TPMT_PUBLIC: Final = _public(TPMI_ALG_HASH, _UNIQUE)
TPMT_PUBLIC_OR_NULL: Final = _public(TPMI_ALG_HASH_OR_NULL, _UNIQUE)
TPMT_PUBLIC_DERIVED: Final = _public(TPMI_ALG_HASH, _DERIVE)  # of a derivation parent
TPM2B_PUBLIC: Final = sized(TPMT_PUBLIC)
TPM2B_PUBLIC_OR_NULL: Final = sized(TPMT_PUBLIC_OR_NULL)  # of LoadExternal
TPMT_PUBLIC_PARMS: Final = public_parms
