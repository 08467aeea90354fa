"""CertifyX509 (Part 3, "Attestation Commands")."""

from __future__ import annotations

from typing import Any, Final

from pefstack.hw.tpm.buffers import TPM2B_DATA, TPM2B_MAX_BUFFER
from pefstack.hw.tpm.certificates import (
    certificate,
    check_key_usage,
    has_other_attributes,
    partial_certificate,
    public_key,
    serial_number,
    signature_algorithm,
)
from pefstack.hw.tpm.codes import TpmCc
from pefstack.hw.tpm.command import AuthRole, Command, Handle, Parameter
from pefstack.hw.tpm.commands.attesting import P2, SCHEME, SIGN_HANDLE, choose
from pefstack.hw.tpm.crypto.hashes import digest
from pefstack.hw.tpm.handles import TPMI_DH_OBJECT
from pefstack.hw.tpm.objects import TpmObject
from pefstack.hw.tpm.response_codes import RC_1, RC_P, Refusal, TpmRc, at
from pefstack.hw.tpm.scheme import Scheme
from pefstack.hw.tpm.signature import Signature
from pefstack.hw.tpm.signing import sign
from pefstack.hw.tpm.state import Internals
from pefstack.hw.tpm.structures import put_structure, put_tpm2b

_SIGNER, _OBJECT = RC_1, 2 * RC_1  # as the reference counts them in refusals
_RESERVED, _PARTIAL = RC_P + RC_1, RC_P + 3 * RC_1


def certify_x509(
    inner: Internals,
    certified: Any,
    sign_key: Any,
    reserved: bytes,
    asked: Scheme,
    partial: bytes,
) -> tuple[bytes, bytes, Signature]:
    """What the TPM adds to a certificate of an object, its digest, its signature."""
    if reserved:
        raise Refusal(TpmRc.SIZE + _RESERVED)
    signer, scheme = choose(sign_key, 1, asked, P2)
    if signer is None:
        raise Refusal(TpmRc.KEY + _SIGNER)
    subject = public_key(certified) if isinstance(certified, TpmObject) else None
    if subject is None:
        raise Refusal(TpmRc.ASYMMETRIC + _OBJECT)
    parts = at(_PARTIAL, partial_certificate, partial)
    unique = signer.public.unique
    made = signature_algorithm(scheme, len(unique) if isinstance(unique, bytes) else 0)
    algorithm = parts.algorithm or made
    if algorithm is None:
        raise Refusal(TpmRc.SCHEME + _SIGNER)
    if at(_PARTIAL, has_other_attributes, certified, parts.extensions):
        raise Refusal(TpmRc.ATTRIBUTES + _OBJECT)
    at(_PARTIAL, check_key_usage, certified, parts.extensions)
    whole = algorithm, parts.names, subject, parts.extensions
    serial = serial_number(signer, certified, *whole)
    added, to_sign = certificate(serial, parts, algorithm, subject)
    hashed = digest(scheme.hash_alg, to_sign)
    return added, hashed, sign(inner, signer, scheme, hashed)


CERTIFY_X509: Final = Command(
    code=TpmCc.CERTIFY_X509,
    action=certify_x509,
    handles=(
        Handle(name="objectHandle", type=TPMI_DH_OBJECT, role=AuthRole.ADMIN),
        SIGN_HANDLE,
    ),
    parameters=(
        Parameter(name="reserved", unmarshal=TPM2B_DATA),
        SCHEME,
        Parameter(name="partialCertificate", unmarshal=TPM2B_MAX_BUFFER),
    ),
    results=(put_tpm2b, put_tpm2b, put_structure),
    decrypts=True,
    encrypts=True,
)
COMMANDS: Final = (CERTIFY_X509,)
