"""X.509 certificates of keys in the TPM (Part 3, TPM2_CertifyX509; RFC 5280, 4055)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pefstack.hw.tpm.codes import DIGEST_SIZE, TpmAlgId, TpmaObject, TpmEcc
from pefstack.hw.tpm.crypto.curves import pad
from pefstack.hw.tpm.crypto.hashes import digest
from pefstack.hw.tpm.der import (
    BIT_STRING,
    CONTEXT,
    NULL,
    OCTET_STRING,
    SEQUENCE,
    bit_string,
    element,
    elements,
    integer,
    oid,
)
from pefstack.hw.tpm.object_keys import ecc_public, rsa_public
from pefstack.hw.tpm.objects import TpmObject
from pefstack.hw.tpm.response_codes import Refusal, TpmRc
from pefstack.hw.tpm.scheme import Scheme

SERIAL_SIZE: Final = 20
_EXTENSIONS: Final = CONTEXT + 3
_VERSION_3: Final = element(CONTEXT, integer(2))
_KEY_USAGE: Final = oid("2.5.29.15")
_TPMA_OBJECT: Final = oid("2.23.133.10.1.1.1")
_RSA, _PSS, _MGF1 = (oid(f"1.2.840.113549.1.1.{number}") for number in (1, 10, 8))
_HASH: Final[Mapping[int, bytes]] = {
    TpmAlgId.SHA1: oid("1.3.14.3.2.26"),
    TpmAlgId.SHA256: oid("2.16.840.1.101.3.4.2.1"),
    TpmAlgId.SHA384: oid("2.16.840.1.101.3.4.2.2"),
    TpmAlgId.SHA512: oid("2.16.840.1.101.3.4.2.3"),
}
_RSASSA: Final[Mapping[int, bytes]] = {
    TpmAlgId.SHA1: oid("1.2.840.113549.1.1.5"),
    TpmAlgId.SHA256: oid("1.2.840.113549.1.1.11"),
    TpmAlgId.SHA384: oid("1.2.840.113549.1.1.12"),
    TpmAlgId.SHA512: oid("1.2.840.113549.1.1.13"),
}
_ECDSA: Final[Mapping[int, bytes]] = {
    TpmAlgId.SHA1: oid("1.2.840.10045.4.1"),
    TpmAlgId.SHA256: oid("1.2.840.10045.4.3.2"),
    TpmAlgId.SHA384: oid("1.2.840.10045.4.3.3"),
    TpmAlgId.SHA512: oid("1.2.840.10045.4.3.4"),
}
_ECC: Final = oid("1.2.840.10045.2.1")
_CURVE: Final[Mapping[int, bytes]] = {
    TpmEcc.NIST_P256: oid("1.2.840.10045.3.1.7"),
    TpmEcc.NIST_P384: oid("1.3.132.0.34"),
    TpmEcc.NIST_P521: oid("1.3.132.0.35"),
}
# TPMA_X509_KEY_USAGE, and what the key then has to be (Part 2, "TPMA_X509_KEY_USAGE")
_USES: Final = (
    (1 << 31 | 1 << 26 | 1 << 25, TpmaObject.SIGN),
    (1 << 29 | 1 << 28 | 1 << 27 | 1 << 24 | 1 << 23, TpmaObject.DECRYPT),
    (1 << 30, TpmaObject.FIXED_TPM),
    (1 << 27, TpmaObject.RESTRICTED),
)
_ALL_USES: Final = 0xFF80_0000


@dataclass(frozen=True, slots=True, kw_only=True)
class Partial:
    """What the caller gives; ``algorithm`` may be empty."""

    algorithm: bytes
    names: bytes  # issuer, validity, subject
    extensions: bytes


def partial_certificate(raw: bytes) -> Partial:
    """The parts; TPM_RC_SIZE unless it is one SEQUENCE, TPM_RC_VALUE for its parts."""
    if not raw:
        raise Refusal(TpmRc.VALUE)
    try:
        [(tag, content, _)] = elements(raw)
    except ValueError:
        raise Refusal(TpmRc.SIZE) from None
    if tag != SEQUENCE:
        raise Refusal(TpmRc.SIZE)
    try:
        parts = list(elements(content))
    except ValueError:
        raise Refusal(TpmRc.VALUE) from None
    sequences = [whole for tag, _, whole in parts if tag == SEQUENCE]
    extensions = [whole for tag, _, whole in parts if tag == _EXTENSIONS]
    known = len(sequences) + len(extensions) == len(parts)
    if not known or len(extensions) != 1 or not 3 <= len(sequences) <= 4:
        raise Refusal(TpmRc.VALUE)
    algorithm = b"".join(sequences[:-3])
    names = b"".join(sequences[-3:])
    return Partial(algorithm=algorithm, names=names, extensions=extensions[0])


def extension_bits(raw: bytes, which: bytes) -> int | None:
    """The BIT STRING in an extension; None without it. ValueError for what is none."""
    [(_, content, _)] = elements(raw)
    [(tag, content, _)] = elements(content)
    if tag != SEQUENCE:
        raise ValueError("no list of extensions")
    for tag, fields, _ in elements(content):
        if tag != SEQUENCE:
            raise ValueError("no extension")
        if fields.startswith(which):
            values = [each for tag, each, _ in elements(fields) if tag == OCTET_STRING]
            [(tag, bits, _)] = elements(b"".join(values[:1]))
            if tag != BIT_STRING:
                raise ValueError("no bits")
            return bit_string(bits)
    return None


def check_key_usage(key: TpmObject, extensions: bytes) -> None:
    """TPM_RC_VALUE unless the key can be used as its keyUsage says."""
    try:
        usage = extension_bits(extensions, _KEY_USAGE)
    except ValueError:
        raise Refusal(TpmRc.VALUE) from None
    if usage is None:
        raise Refusal(TpmRc.VALUE)
    if usage & ~_ALL_USES:
        raise Refusal(TpmRc.RESERVED_BITS)
    for uses, needed in _USES:
        if usage & uses and not key.public.has(needed):
            raise Refusal(TpmRc.VALUE)


def has_other_attributes(key: TpmObject, extensions: bytes) -> bool:
    """Whether an extension says other attributes than the key has."""
    try:
        said = extension_bits(extensions, _TPMA_OBJECT)
    except ValueError:
        raise Refusal(TpmRc.VALUE) from None
    return said is not None and said != key.public.attributes


def public_key(key: TpmObject) -> bytes | None:
    """SubjectPublicKeyInfo; None for a key that has no encoding."""
    if key.public.type == TpmAlgId.RSA:
        n, e = rsa_public(key)
        bits = element(SEQUENCE, integer(n), integer(e))
        kind = element(SEQUENCE, _RSA, element(NULL))
    elif key.public.type == TpmAlgId.ECC:
        curve, x, y = ecc_public(key)
        if curve not in _CURVE:
            return None
        bits = b"\4" + pad(curve, x) + pad(curve, y)
        kind = element(SEQUENCE, _ECC, _CURVE[curve])
    else:
        return None
    return element(SEQUENCE, kind, element(BIT_STRING, b"\0", bits))


def signature_algorithm(scheme: Scheme, modulus_size: int) -> bytes | None:
    """AlgorithmIdentifier; None for a scheme that X.509 does not have."""
    if scheme.alg == TpmAlgId.RSASSA:
        return element(SEQUENCE, _RSASSA[scheme.hash_alg], element(NULL))
    if scheme.alg == TpmAlgId.ECDSA:
        return element(SEQUENCE, _ECDSA[scheme.hash_alg])
    if scheme.alg != TpmAlgId.RSAPSS:
        return None
    if scheme.hash_alg == TpmAlgId.SHA1:  # as the reference: all by default
        return element(SEQUENCE, _PSS, element(NULL))
    return element(SEQUENCE, _PSS, _pss_parameters(scheme.hash_alg, modulus_size))


def _pss_parameters(hash_alg: int, modulus_size: int) -> bytes:
    hashed = element(SEQUENCE, _HASH[hash_alg], element(NULL))
    size = DIGEST_SIZE[hash_alg]
    return element(
        SEQUENCE,
        element(CONTEXT, hashed),
        element(CONTEXT + 1, element(SEQUENCE, _MGF1, hashed)),
        element(CONTEXT + 2, integer(min(size, modulus_size - size - 2))),
    )


def serial_number(signer: TpmObject, key: TpmObject, *parts: bytes) -> bytes:
    """It follows from all that is certified, and from both Names."""
    hashed = digest(signer.public.name_alg, *parts, signer.name, key.name)
    return integer(int.from_bytes(hashed[:SERIAL_SIZE], "big"))


def certificate(
    serial: bytes, partial: Partial, algorithm: bytes, subject: bytes
) -> tuple[bytes, bytes]:
    """addedToCertificate, and the TBSCertificate that is to be signed."""
    own = b"" if partial.algorithm else algorithm
    added = element(SEQUENCE, _VERSION_3, serial, own, subject)
    head = _VERSION_3, serial, algorithm, partial.names
    return added, element(SEQUENCE, *head, subject, partial.extensions)
