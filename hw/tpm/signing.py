"""Signatures of objects: choice of the scheme, sign, verify (Part 1, annexes B, C)."""

from __future__ import annotations

from collections.abc import Callable
from hmac import compare_digest
from typing import Any, Final

from pefstack.hw.tpm.codes import TpmAlgId, TpmaObject
from pefstack.hw.tpm.commit_numbers import commit_random
from pefstack.hw.tpm.crypto.hashes import hmac
from pefstack.hw.tpm.hierarchies import Hierarchy
from pefstack.hw.tpm.object_keys import (
    ecc_key,
    ecc_public,
    has,
    kind_of,
    rsa_key,
    rsa_public,
)
from pefstack.hw.tpm.objects import TpmObject
from pefstack.hw.tpm.public import SymCipherParms
from pefstack.hw.tpm.response_codes import Refusal, TpmRc
from pefstack.hw.tpm.scheme import NULL_SCHEME, Scheme
from pefstack.hw.tpm.signature import Signature
from pefstack.hw.tpm.state import Internals

_SCHEMES: Final[dict[int, frozenset[int]]] = {
    TpmAlgId.RSA: frozenset((TpmAlgId.RSASSA, TpmAlgId.RSAPSS)),
    TpmAlgId.ECC: frozenset((TpmAlgId.ECDSA, TpmAlgId.ECDAA, TpmAlgId.ECSCHNORR)),
    TpmAlgId.KEYEDHASH: frozenset((TpmAlgId.HMAC,)),
}


def signing_key(entity: Any, place: int) -> TpmObject | None:
    """The key behind a signHandle, None for TPM_RH_NULL; TPM_RC_KEY for any other."""
    if isinstance(entity, Hierarchy):
        return None
    is_cipher = kind_of(entity) == TpmAlgId.SYMCIPHER
    if isinstance(entity, TpmObject) and has(entity, TpmaObject.SIGN) and not is_cipher:
        return entity
    raise Refusal(TpmRc.KEY + place)


def select_scheme(key: TpmObject | None, asked: Scheme) -> Scheme:
    """The scheme of the key, or the one asked for; TPM_RC_SCHEME unless they agree.

    Without a key there is no scheme. A scheme in two parts, which needs the count of a
    Commit, cannot be left to the key's default.
    """
    if key is None:
        return NULL_SCHEME
    own = key_scheme(key)
    chosen = asked
    if asked.alg == TpmAlgId.NULL and own.alg != TpmAlgId.ECDAA:
        chosen = own
    if own.alg != TpmAlgId.NULL and not _agree(own, chosen):
        raise Refusal(TpmRc.SCHEME)
    if chosen.alg not in _SCHEMES[key.public.type]:
        raise Refusal(TpmRc.SCHEME)
    return chosen


def key_scheme(key: TpmObject) -> Scheme:
    """The default scheme in the key's public area; none for a symmetric cipher."""
    parameters = key.public.parameters
    if isinstance(parameters, SymCipherParms):
        return NULL_SCHEME
    return parameters.scheme


def _agree(own: Scheme, chosen: Scheme) -> bool:
    return own.alg == chosen.alg and own.hash_alg == chosen.hash_alg


def sign(
    inner: Internals, key: TpmObject | None, scheme: Scheme, digest: bytes
) -> Signature:
    """The signature of a digest; an empty one without a key.

    A selected ``scheme``; TPM_RC_VALUE when the digest does not fit the key, or when
    there is no Commit of this count.
    """
    if key is None:
        return Signature()
    try:
        value = _SIGN[TpmAlgId(scheme.alg)](inner, key, scheme, digest)
    except ValueError:
        raise Refusal(TpmRc.VALUE) from None
    return Signature(alg=scheme.alg, hash_alg=scheme.hash_alg, signature=value)


Value = bytes | tuple[bytes, bytes]


def _sign_rsassa(inner: Internals, key: TpmObject, scheme: Scheme, d: bytes) -> Value:
    from pefstack.hw.tpm.crypto import rsa

    return rsa.sign_rsassa(rsa_key(key), scheme.hash_alg, d)


def _sign_rsapss(inner: Internals, key: TpmObject, scheme: Scheme, d: bytes) -> Value:
    from pefstack.hw.tpm.crypto import rsa

    return rsa.sign_rsapss(rsa_key(key), scheme.hash_alg, d, inner.entropy)


def _sign_ecdsa(inner: Internals, key: TpmObject, scheme: Scheme, d: bytes) -> Value:
    from pefstack.hw.tpm.crypto import ecc

    private = ecc_key(key)
    return _padded(private.curve, ecc.sign_ecdsa(private, d, inner.entropy))


def _sign_schnorr(inner: Internals, key: TpmObject, scheme: Scheme, d: bytes) -> Value:
    from pefstack.hw.tpm.crypto import ecc

    private = ecc_key(key)
    made = ecc.sign_ecschnorr(private, scheme.hash_alg, d, inner.entropy)
    return _padded(private.curve, made)


def _sign_ecdaa(inner: Internals, key: TpmObject, scheme: Scheme, d: bytes) -> Value:
    from pefstack.hw.tpm.crypto import ecc

    private = ecc_key(key)
    r = commit_random(inner, scheme.count, key.name, private.curve)
    made = ecc.sign_ecdaa(private, scheme.hash_alg, d, r, inner.entropy)
    inner.state.commits.end(scheme.count)
    return _padded(private.curve, made)


def _sign_hmac(inner: Internals, key: TpmObject, scheme: Scheme, d: bytes) -> Value:
    return keyed_digest(key, scheme.hash_alg, d)


def keyed_digest(key: TpmObject, alg: int, data: bytes) -> bytes:
    """HMAC with a key object; TPM_RC_KEY for a public area alone."""
    if key.sensitive is None:
        raise Refusal(TpmRc.KEY)
    return hmac(alg, key.sensitive.sensitive, data)


def _padded(curve: int, made: tuple[int, int]) -> tuple[bytes, bytes]:
    from pefstack.hw.tpm.crypto import ecc

    return ecc.pad(curve, made[0]), ecc.pad(curve, made[1])


_SIGN: Final[dict[int, Callable[[Internals, TpmObject, Scheme, bytes], Value]]] = {
    TpmAlgId.RSASSA: _sign_rsassa,
    TpmAlgId.RSAPSS: _sign_rsapss,
    TpmAlgId.ECDSA: _sign_ecdsa,
    TpmAlgId.ECDAA: _sign_ecdaa,
    TpmAlgId.ECSCHNORR: _sign_schnorr,
    TpmAlgId.HMAC: _sign_hmac,
}


def verify_signature(key: TpmObject, digest: bytes, signature: Signature) -> None:
    """Whether the key made the signature; the answer is never remembered.

    Raises `Refusal` with a bare response code: TPM_RC_SCHEME for a scheme that is not
    of this kind of key, TPM_RC_HANDLE for an HMAC key without its secret,
    TPM_RC_SIGNATURE for a bad signature.
    """
    verify = _VERIFY.get(kind_of(key))
    if verify is None:
        raise Refusal(TpmRc.SCHEME)
    if not verify(key, digest, signature):
        raise Refusal(TpmRc.SIGNATURE)


def _verify_rsa(key: TpmObject, digest: bytes, signature: Signature) -> bool:
    from pefstack.hw.tpm.crypto import rsa

    verify = {
        TpmAlgId.RSASSA: rsa.verify_rsassa,
        TpmAlgId.RSAPSS: rsa.verify_rsapss,
    }.get(TpmAlgId(signature.alg))
    if verify is None or not isinstance(signature.signature, bytes):
        raise Refusal(TpmRc.SCHEME)
    n, e = rsa_public(key)
    return verify(n, e, signature.hash_alg, digest, signature.signature)


def _verify_ecc(key: TpmObject, digest: bytes, signature: Signature) -> bool:
    from pefstack.hw.tpm.crypto import ecc

    if isinstance(signature.signature, bytes):
        raise Refusal(TpmRc.SCHEME)
    r, s = (int.from_bytes(each, "big") for each in signature.signature)
    curve, x, y = ecc_public(key)
    if signature.alg == TpmAlgId.ECDSA:
        return ecc.verify_ecdsa(curve, x, y, digest, r, s)
    if signature.alg == TpmAlgId.ECSCHNORR:
        return ecc.verify_ecschnorr(curve, x, y, signature.hash_alg, digest, r, s)
    raise Refusal(TpmRc.SCHEME)  # nobody verifies ECDAA with one public key


def _verify_hmac(key: TpmObject, digest: bytes, signature: Signature) -> bool:
    if key.sensitive is None:
        raise Refusal(TpmRc.HANDLE)
    value = signature.signature
    if signature.alg != TpmAlgId.HMAC or not isinstance(value, bytes):
        raise Refusal(TpmRc.SCHEME)
    own = key_scheme(key)
    asked = Scheme(alg=signature.alg, hash_alg=signature.hash_alg)
    if own.alg != TpmAlgId.NULL and not _agree(own, asked):
        return False
    return compare_digest(keyed_digest(key, signature.hash_alg, digest), value)


_VERIFY: Final[dict[int, Callable[[TpmObject, bytes, Signature], bool]]] = {
    TpmAlgId.RSA: _verify_rsa,
    TpmAlgId.ECC: _verify_ecc,
    TpmAlgId.KEYEDHASH: _verify_hmac,
}
