"""Sign, VerifySignature (Part 3, "Signing and Signature Verification")."""

from __future__ import annotations

from typing import Any, Final

from pefstack.hw.tpm import tickets
from pefstack.hw.tpm.buffers import TPM2B_DIGEST
from pefstack.hw.tpm.codes import DIGEST_SIZE, TpmAlgId, TpmaObject, TpmCc, TpmRh, TpmSt
from pefstack.hw.tpm.command import AuthRole, Command, Handle, Parameter
from pefstack.hw.tpm.handles import TPMI_DH_OBJECT
from pefstack.hw.tpm.object_keys import has
from pefstack.hw.tpm.objects import TpmObject
from pefstack.hw.tpm.response_codes import RC_1, RC_P, Refusal, TpmRc, at
from pefstack.hw.tpm.scheme import TPMT_SIG_SCHEME, Scheme
from pefstack.hw.tpm.signature import TPMT_SIGNATURE, Signature
from pefstack.hw.tpm.signing import (
    select_scheme,
    sign,
    signing_key,
    verify_signature,
)
from pefstack.hw.tpm.state import Internals
from pefstack.hw.tpm.structures import put_structure, put_uint16
from pefstack.hw.tpm.ticket import TPMT_TK_HASHCHECK, Ticket

_KEY: Final = RC_1
_P1, _P2, _P3 = RC_P + RC_1, RC_P + 2 * RC_1, RC_P + 3 * RC_1


def sign_digest(
    inner: Internals, key: Any, digest: bytes, asked: Scheme, validation: Ticket
) -> tuple[Signature]:
    """TPM2_Sign; a restricted key signs only what this TPM itself has hashed."""
    signer = signing_key(key, _KEY)
    if signer is None or has(signer, TpmaObject.X509_SIGN):
        raise Refusal(TpmRc.ATTRIBUTES + _KEY)
    scheme = at(_P2, select_scheme, signer, asked)
    if validation.digest or has(signer, TpmaObject.RESTRICTED):
        alg = put_uint16(scheme.hash_alg)
        if not tickets.check(inner, validation, alg, digest):
            raise Refusal(TpmRc.TICKET + _P3)
    elif len(digest) != DIGEST_SIZE[scheme.hash_alg]:
        raise Refusal(TpmRc.SIZE + _P1)
    return (sign(inner, signer, scheme, digest),)


def verify(
    inner: Internals, key: Any, digest: bytes, signature: Signature
) -> tuple[Ticket]:
    """TPM2_VerifySignature; the ticket lets PolicyAuthorize believe it later."""
    if not isinstance(key, TpmObject) or not has(key, TpmaObject.SIGN):
        raise Refusal(TpmRc.ATTRIBUTES + _KEY)
    at(_P2, verify_signature, key, digest, signature)
    nameless = key.public.name_alg == TpmAlgId.NULL
    if nameless or key.hierarchy == TpmRh.NULL:
        return (Ticket(tag=TpmSt.VERIFIED),)
    made = tickets.make(inner, TpmSt.VERIFIED, key.hierarchy, digest, key.name)
    return (made,)


SIGN: Final = Command(
    code=TpmCc.SIGN,
    action=sign_digest,
    handles=(Handle(name="keyHandle", type=TPMI_DH_OBJECT),),
    parameters=(
        Parameter(name="digest", unmarshal=TPM2B_DIGEST),
        Parameter(name="inScheme", unmarshal=TPMT_SIG_SCHEME),
        Parameter(name="validation", unmarshal=TPMT_TK_HASHCHECK),
    ),
    results=(put_structure,),
    decrypts=True,
)
VERIFY_SIGNATURE: Final = Command(
    code=TpmCc.VERIFY_SIGNATURE,
    action=verify,
    handles=(Handle(name="keyHandle", type=TPMI_DH_OBJECT, role=AuthRole.NONE),),
    parameters=(
        Parameter(name="digest", unmarshal=TPM2B_DIGEST),
        Parameter(name="signature", unmarshal=TPMT_SIGNATURE),
    ),
    results=(put_structure,),
    decrypts=True,
)
COMMANDS: Final = (SIGN, VERIFY_SIGNATURE)
