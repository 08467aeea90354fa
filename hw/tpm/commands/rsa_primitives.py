"""RSA_Encrypt, RSA_Decrypt (Part 3, "Asymmetric Primitives")."""

from __future__ import annotations

from typing import Any, Final

from pefstack.hw.tpm.buffers import TPM2B_DATA, TPM2B_PUBLIC_KEY_RSA
from pefstack.hw.tpm.codes import TpmAlgId, TpmaObject, TpmCc
from pefstack.hw.tpm.command import AuthRole, Command, Handle, Parameter
from pefstack.hw.tpm.handles import TPMI_DH_OBJECT
from pefstack.hw.tpm.object_keys import has, kind_of, rsa_key, rsa_public
from pefstack.hw.tpm.objects import TpmObject
from pefstack.hw.tpm.response_codes import RC_1, RC_P, Refusal, TpmRc
from pefstack.hw.tpm.scheme import TPMT_RSA_DECRYPT, Scheme
from pefstack.hw.tpm.signing import key_scheme
from pefstack.hw.tpm.state import Internals
from pefstack.hw.tpm.structures import put_tpm2b

_KEY: Final = RC_1
_SCHEME: Final = RC_P + 2 * RC_1
_LABEL: Final = RC_P + 3 * RC_1


def rsa_encrypt(
    inner: Internals, key: Any, message: bytes, asked: Scheme, label: bytes
) -> tuple[bytes]:
    """A block that only the key opens; without a scheme the message is the number."""
    found = _rsa_object(key)
    if not has(found, TpmaObject.DECRYPT):
        raise Refusal(TpmRc.ATTRIBUTES + _KEY)
    scheme = _checked(found, asked, label)
    try:
        return (_encrypt(inner, found, scheme, message, label),)
    except ValueError:  # too long for the scheme, or above the modulus
        raise Refusal(TpmRc.VALUE) from None


def rsa_decrypt(
    inner: Internals, key: Any, cipher_text: bytes, asked: Scheme, label: bytes
) -> tuple[bytes]:
    """The message; TPM_RC_VALUE for every block that cannot be opened."""
    found = _rsa_object(key)
    if has(found, TpmaObject.RESTRICTED) or not has(found, TpmaObject.DECRYPT):
        raise Refusal(TpmRc.ATTRIBUTES + _KEY)
    scheme = _checked(found, asked, label)
    if len(cipher_text) != len(found.public.unique):
        raise Refusal(TpmRc.SIZE)
    try:
        return (_decrypt(found, scheme, cipher_text, label),)
    except ValueError:
        raise Refusal(TpmRc.VALUE) from None


def _rsa_object(entity: Any) -> TpmObject:
    if not isinstance(entity, TpmObject) or kind_of(entity) != TpmAlgId.RSA:
        raise Refusal(TpmRc.KEY + _KEY)
    return entity


def _checked(key: TpmObject, asked: Scheme, label: bytes) -> Scheme:
    """The scheme of the key or the one asked for; a label ends with a zero byte."""
    if label and label[-1]:
        raise Refusal(TpmRc.VALUE + _LABEL)
    own = key_scheme(key)
    if own.alg == TpmAlgId.NULL:
        return asked
    if asked.alg not in (TpmAlgId.NULL, own.alg):
        raise Refusal(TpmRc.SCHEME + _SCHEME)
    if asked.alg == own.alg and asked.hash_alg != own.hash_alg:
        raise Refusal(TpmRc.SCHEME + _SCHEME)
    return own


def _encrypt(
    inner: Internals, key: TpmObject, scheme: Scheme, message: bytes, label: bytes
) -> bytes:
    from pefstack.hw.tpm.crypto import rsa

    n, e = rsa_public(key)
    if scheme.alg == TpmAlgId.OAEP:
        alg = scheme.hash_alg
        return rsa.oaep_encrypt(n, e, alg, label, message, inner.entropy)
    if scheme.alg == TpmAlgId.RSAES:
        return rsa.pkcs1_encrypt(n, e, message, inner.entropy)
    _check_raw(scheme)
    return rsa.public_op(n, e, message.lstrip(b"\0"))


def _decrypt(key: TpmObject, scheme: Scheme, block: bytes, label: bytes) -> bytes:
    from pefstack.hw.tpm.crypto import rsa

    private = rsa_key(key)
    if scheme.alg == TpmAlgId.OAEP:
        return rsa.oaep_decrypt(private, scheme.hash_alg, label, block)
    if scheme.alg == TpmAlgId.RSAES:
        return rsa.pkcs1_decrypt(private, block)
    _check_raw(scheme)
    return rsa.private_op(private, block)


def _check_raw(scheme: Scheme) -> None:
    """A key that both signs and decrypts may have a scheme that only signs."""
    if scheme.alg != TpmAlgId.NULL:
        raise Refusal(TpmRc.SCHEME)


_SCHEME_AND_LABEL: Final = (
    Parameter(name="inScheme", unmarshal=TPMT_RSA_DECRYPT),
    Parameter(name="label", unmarshal=TPM2B_DATA),
)
RSA_ENCRYPT: Final = Command(
    code=TpmCc.RSA_ENCRYPT,
    action=rsa_encrypt,
    handles=(Handle(name="keyHandle", type=TPMI_DH_OBJECT, role=AuthRole.NONE),),
    parameters=(
        Parameter(name="message", unmarshal=TPM2B_PUBLIC_KEY_RSA),
        *_SCHEME_AND_LABEL,
    ),
    results=(put_tpm2b,),
    decrypts=True,
    encrypts=True,
)
RSA_DECRYPT: Final = Command(
    code=TpmCc.RSA_DECRYPT,
    action=rsa_decrypt,
    handles=(Handle(name="keyHandle", type=TPMI_DH_OBJECT),),
    parameters=(
        Parameter(name="cipherText", unmarshal=TPM2B_PUBLIC_KEY_RSA),
        *_SCHEME_AND_LABEL,
    ),
    results=(put_tpm2b,),
    decrypts=True,
    encrypts=True,
)
COMMANDS: Final = (RSA_ENCRYPT, RSA_DECRYPT)
