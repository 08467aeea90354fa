"""Sealed data made outside a TPM, for one that will import it (esm.md 4.2, 5.2).

What a duplicate for a storage key looks like is Part 1, 23.3; nobody needs the TPM.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

from pefstack.hw.tpm.codes import DIGEST_SIZE, TpmAlgId, TpmaObject
from pefstack.hw.tpm.crypto.protection import outer_wrap
from pefstack.hw.tpm.crypto.stream import Stream
from pefstack.hw.tpm.duplication import LABEL
from pefstack.hw.tpm.names import object_name
from pefstack.hw.tpm.public import TPMT_PUBLIC, KeyedHashParms, Public, RsaParms
from pefstack.hw.tpm.response_codes import Refusal
from pefstack.hw.tpm.sensitive import Sensitive
from pefstack.hw.tpm.structures import put_sized, put_tpm2b, whole

ALG: Final = TpmAlgId.SHA256
ATTRIBUTES: Final = TpmaObject.NO_DA | TpmaObject.ADMIN_WITH_POLICY  # 0x480
SEED_SIZE: Final = DIGEST_SIZE[ALG]
KEY_BITS: Final = 2048


def read_key(public_area: bytes) -> Public:
    """An RSA-2048 key with nameAlg SHA-256, from its TPMT_PUBLIC; else ValueError."""
    try:
        public = whole(TPMT_PUBLIC, public_area)
    except Refusal as refusal:
        raise ValueError(f"no TPMT_PUBLIC ({refusal})") from None
    parameters = public.parameters
    if not isinstance(parameters, RsaParms) or parameters.key_bits != KEY_BITS:
        raise ValueError("not an RSA key of 2048 bits")
    if public.name_alg != ALG:
        raise ValueError(f"nameAlg 0x{public.name_alg:04x} is not SHA-256")
    if len(_modulus(public)) * 8 != KEY_BITS:
        raise ValueError("the modulus has not 2048 bits")
    return public


def machine_id(key: Public) -> bytes:
    """The digest part of the key's Name, 32 bytes: what a slot names its machine by."""
    return object_name(key)[2:]


def import_body(
    storage_key: Public, policy: bytes, sealed_data: bytes, stream: Stream
) -> bytes:
    """The body of a slot of kind 1: public area, duplicate, encrypted secret.

    ``policy`` is the authPolicy of the object, 32 bytes: that which the storage key
    should have, computed and not read from the key. ``stream`` gives the obfuscation,
    the seed of the wrap and that of OAEP. ValueError for a key that stores nothing
    under AES, or a policy of another size.
    """
    if not storage_key.is_storage or storage_key.symmetric.alg != TpmAlgId.AES:
        raise ValueError("not a storage key")
    if len(policy) != DIGEST_SIZE[ALG]:
        raise ValueError(f"a policy of {len(policy)} bytes")
    obfuscation, seed = (stream.random_bytes(SEED_SIZE) for _ in range(2))
    public = sealed_public(policy, sealed_data, obfuscation)
    sensitive = Sensitive(
        type=TpmAlgId.KEYEDHASH, seed_value=obfuscation, sensitive=sealed_data
    )
    bits, name = storage_key.symmetric.key_bits, object_name(public)
    duplicate = outer_wrap(ALG, bits, seed, name, put_sized(sensitive))
    secret = _encrypted(storage_key, LABEL.encode() + b"\0", seed, stream)
    return put_sized(public) + put_tpm2b(duplicate) + secret


def lockbox_body(wrapping_key: Public, sealed_data: bytes, stream: Stream) -> bytes:
    """The body of a slot of kind 2: the sealed data under the wrapping key."""
    return _encrypted(wrapping_key, b"", sealed_data, stream)


def sealed_public(policy: bytes, sealed_data: bytes, obfuscation: bytes) -> Public:
    """The public area: no authValue opens it, and it cannot leave its policy."""
    return Public(
        type=TpmAlgId.KEYEDHASH,
        name_alg=ALG,
        attributes=ATTRIBUTES,
        auth_policy=policy,
        parameters=KeyedHashParms(),
        unique=sha256(obfuscation + sealed_data).digest(),
    )


def _encrypted(key: Public, label: bytes, message: bytes, stream: Stream) -> bytes:
    from pefstack.hw.tpm.crypto.rsa import DEFAULT_EXPONENT, oaep_encrypt

    modulus = int.from_bytes(_modulus(key), "big")
    parameters = key.parameters
    exponent = parameters.exponent if isinstance(parameters, RsaParms) else 0
    exponent = exponent or DEFAULT_EXPONENT
    return put_tpm2b(oaep_encrypt(modulus, exponent, ALG, label, message, stream))


def _modulus(key: Public) -> bytes:
    return key.unique if isinstance(key.unique, bytes) else b""
