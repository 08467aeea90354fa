"""The secret and the public parts of a new object (Part 1, "Object Creation").

The checks come first (`check_sizes`), and `create_parts` cannot fail after them, so a
refused command draws no random bytes.
"""

from __future__ import annotations

from dataclasses import replace
from math import isqrt
from typing import Any, Final

from pefstack.hw.tpm.codes import DIGEST_SIZE, TpmAlgId, TpmaObject
from pefstack.hw.tpm.crypto.hashes import constructor, digest, hmac
from pefstack.hw.tpm.hierarchies import trimmed
from pefstack.hw.tpm.key_maker import ByteStream, KeyMaker
from pefstack.hw.tpm.object_keys import DEFAULT_EXPONENT
from pefstack.hw.tpm.public import (
    EccParms,
    KeyedHashParms,
    Public,
    RsaParms,
    SymCipherParms,
)
from pefstack.hw.tpm.response_codes import Refusal, TpmRc
from pefstack.hw.tpm.sensitive import Sensitive, SensitiveCreate

_USES: Final = TpmaObject.SIGN | TpmaObject.DECRYPT


def adjusted_auth(auth: bytes, name_alg: int) -> bytes:
    """An authValue as it is stored; TPM_RC_SIZE when longer than the Name's hash."""
    auth = trimmed(auth)
    if name_alg != TpmAlgId.NULL and len(auth) > DIGEST_SIZE[name_alg]:
        raise Refusal(TpmRc.SIZE)
    return auth


def given_secret(public: Public, given: SensitiveCreate) -> bytes:
    """The secret that the caller gives; with sensitiveDataOrigin it is none."""
    from_tpm = public.has(TpmaObject.SENSITIVE_DATA_ORIGIN)
    return b"" if from_tpm else given.data


def check_sizes(public: Public, data: bytes) -> None:
    """Whether a key can be of this kind: exponent, and the secret the caller gives."""
    parameters = public.parameters
    if isinstance(parameters, RsaParms):
        _check_exponent(parameters.exponent)
    elif isinstance(parameters, SymCipherParms):
        if data and len(data) * 8 != parameters.symmetric.key_bits:
            raise Refusal(TpmRc.KEY_SIZE)
    elif isinstance(parameters, KeyedHashParms) and public.has(_USES):
        block_size: int = constructor(keyed_hash_alg(public))().block_size
        if len(data) > block_size:
            raise Refusal(TpmRc.SIZE)


def _check_exponent(exponent: int) -> None:
    """As the reference: the usual one, or another prime that is greater."""
    if exponent in (0, DEFAULT_EXPONENT):
        return
    divisors = range(3, isqrt(exponent) + 1, 2)
    is_prime = exponent % 2 and all(exponent % divisor for divisor in divisors)
    if exponent < DEFAULT_EXPONENT or not is_prime:
        raise Refusal(TpmRc.RANGE)


def scheme_hash(public: Public) -> int:
    """The hash of a KEYEDHASH object's scheme, TPM_ALG_NULL without one."""
    parameters = public.parameters
    if isinstance(parameters, KeyedHashParms):
        return parameters.scheme.hash_alg
    return TpmAlgId.NULL


def keyed_hash_alg(public: Public) -> int:
    """The same, and without one that of the Name."""
    alg = scheme_hash(public)
    return public.name_alg if alg == TpmAlgId.NULL else alg


def symmetric_unique(public: Public, seed: bytes, secret: bytes) -> bytes:
    """``unique`` of KEYEDHASH and SYMCIPHER: a digest of seedValue and secret.

    Of a parent it is an HMAC, so that it gives nothing away of what children depend on.
    """
    if public.protects:
        return hmac(public.name_alg, seed, secret)
    return digest(public.name_alg, seed, secret)


def create_parts(
    keys: KeyMaker,
    stream: ByteStream,
    public: Public,
    given: SensitiveCreate,
    *,
    key: Any | None = None,
) -> tuple[Public, Sensitive]:
    """The public area with its unique, and the sensitive area.

    ``stream`` gives all that is random, first the seedValue; ``key`` is the asymmetric
    key where it is known already.
    """
    size = DIGEST_SIZE[public.name_alg]
    asymmetric = public.type in (TpmAlgId.RSA, TpmAlgId.ECC)
    has_seed = not asymmetric or public.is_storage
    seed = stream.random_bytes(size) if has_seed else b""
    if asymmetric:
        key = new_key(keys, stream, public) if key is None else key
        unique, secret = _asymmetric_parts(public, key)
    else:
        secret = given_secret(public, given) or stream.random_bytes(
            _secret_size(public)
        )
        unique = symmetric_unique(public, seed, secret)
    sensitive = Sensitive(
        type=public.type,
        auth_value=trimmed(given.user_auth),
        seed_value=seed,
        sensitive=secret,
    )
    return replace(public, unique=unique), sensitive


def _secret_size(public: Public) -> int:
    if public.type == TpmAlgId.SYMCIPHER:
        return public.symmetric.key_bits // 8
    return DIGEST_SIZE[keyed_hash_alg(public)]


def new_key(keys: KeyMaker, stream: ByteStream, public: Public) -> Any:
    """The asymmetric key that the parameters ask for, out of a stream."""
    parameters = public.parameters
    if isinstance(parameters, RsaParms):
        exponent = parameters.exponent or DEFAULT_EXPONENT
        return keys.rsa(stream, parameters.key_bits, exponent)
    if isinstance(parameters, EccParms):
        return keys.ecc(stream, parameters.curve)
    raise Refusal(TpmRc.TYPE)


def _asymmetric_parts(
    public: Public, key: Any
) -> tuple[bytes | tuple[bytes, bytes], bytes]:
    if public.type == TpmAlgId.RSA:
        return key.n.to_bytes(key.size, "big"), key.p.to_bytes(key.size // 2, "big")
    from pefstack.hw.tpm.crypto import ecc

    point = ecc.pad(key.curve, key.x), ecc.pad(key.curve, key.y)
    return point, ecc.pad(key.curve, key.d)
