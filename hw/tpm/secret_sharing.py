"""A secret that only the holder of a key can open (Part 1, "Secret Sharing")."""

from __future__ import annotations

from pefstack.hw.entropy import Entropy
from pefstack.hw.tpm.buffers import TPMS_ECC_POINT
from pefstack.hw.tpm.codes import DIGEST_SIZE, TpmAlgId
from pefstack.hw.tpm.crypto.kdf import kdfe
from pefstack.hw.tpm.object_keys import ecc_key, ecc_public, rsa_key, rsa_public
from pefstack.hw.tpm.objects import TpmObject
from pefstack.hw.tpm.response_codes import Refusal, TpmRc
from pefstack.hw.tpm.structures import Reader, put_pair


def open_secret(key: TpmObject, label: str, hidden: bytes) -> bytes:
    """The secret in ``hidden``; raises `Refusal` with the bare response code.

    RSA: OAEP with the key's nameAlg. ECC: an ephemeral point, then KDFe.
    """
    if key.public.type == TpmAlgId.RSA:
        return _open_rsa(key, label, hidden)
    return _open_ecc(key, label, hidden)


def _open_rsa(key: TpmObject, label: str, hidden: bytes) -> bytes:
    from pefstack.hw.tpm.crypto import rsa

    private = rsa_key(key)
    if len(hidden) != private.size:
        raise Refusal(TpmRc.SIZE)
    alg = key.public.name_alg
    try:
        secret = rsa.oaep_decrypt(private, alg, label.encode() + b"\0", hidden)
    except ValueError:
        raise Refusal(TpmRc.VALUE) from None
    if len(secret) > DIGEST_SIZE[alg]:
        raise Refusal(TpmRc.VALUE)
    return secret


def _open_ecc(key: TpmObject, label: str, hidden: bytes) -> bytes:
    from pefstack.hw.tpm.crypto import ecc

    reader = Reader(hidden, 0, len(hidden), DIGEST_SIZE)
    x, y = TPMS_ECC_POINT(reader)
    private = ecc_key(key)
    curve = private.curve
    point = int.from_bytes(x, "big"), int.from_bytes(y, "big")
    if not ecc.on_curve(curve, *point):
        raise Refusal(TpmRc.ECC_POINT)
    if reader.offset != reader.end:
        raise Refusal(TpmRc.SIZE)
    shared, _ = ecc.multiply(curve, private.d, point)
    alg = key.public.name_alg
    z, ephemeral = ecc.pad(curve, shared), ecc.pad(curve, point[0])
    own = ecc.pad(curve, private.x)
    return kdfe(alg, z, label.encode(), ephemeral, own, DIGEST_SIZE[alg] * 8)


def make_secret(entropy: Entropy, key: TpmObject, label: str) -> tuple[bytes, bytes]:
    """A new secret, and what only the holder of the key can open to get it.

    The key needs no private part; raises `Refusal` with the bare response code.
    """
    if key.public.type == TpmAlgId.RSA:
        return _make_rsa(entropy, key, label)
    return _make_ecc(entropy, key, label)


def _make_rsa(entropy: Entropy, key: TpmObject, label: str) -> tuple[bytes, bytes]:
    from pefstack.hw.tpm.crypto import rsa

    n, e = rsa_public(key)
    alg = key.public.name_alg
    if (n.bit_length() + 7) // 8 < 3 * DIGEST_SIZE[alg] + 2:  # RFC 8017, 7.1.1
        raise Refusal(TpmRc.VALUE)
    secret = entropy.random_bytes(DIGEST_SIZE[alg])
    tag = label.encode() + b"\0"
    return secret, rsa.oaep_encrypt(n, e, alg, tag, secret, entropy)


def _make_ecc(entropy: Entropy, key: TpmObject, label: str) -> tuple[bytes, bytes]:
    from pefstack.hw.tpm.crypto import ecc

    curve, x, y = ecc_public(key)
    if not ecc.on_curve(curve, x, y):
        raise Refusal(TpmRc.KEY)
    ephemeral = ecc.generate(entropy, curve)
    shared, _ = ecc.multiply(curve, ephemeral.d, (x, y))
    alg = key.public.name_alg
    point = ecc.pad(curve, ephemeral.x), ecc.pad(curve, ephemeral.y)
    z, own = ecc.pad(curve, shared), ecc.pad(curve, x)
    secret = kdfe(alg, z, label.encode(), point[0], own, DIGEST_SIZE[alg] * 8)
    return secret, put_pair(point)
