"""Keys for TPM tests: areas marshalled by hand, for LoadExternal or straight in."""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from pefstack.hw.tpm.codes import DIGEST_SIZE
from pefstack.hw.tpm.engine import Tpm
from pefstack.hw.tpm.names import object_name, qualified_name
from pefstack.hw.tpm.objects import TpmObject
from pefstack.hw.tpm.public import TPMT_PUBLIC_OR_NULL
from pefstack.hw.tpm.sensitive import TPMT_SENSITIVE
from pefstack.hw.tpm.structures import whole
from tpm_kit import NULL

P: Final = int(
    "cf63ee8a06c94388ab003428e640049bb064bb308cffab6a919ea96baad11be9"
    "64249a20b1a55a2729c8c68ec38664331e0560771bd888a0343850753ffd9769"
    "6abc4ab04a03d89c0105beaafb057b3abc7c5adc7b551bb58207a0fe41692726"
    "998b4a5cf8a9517fea1c43972281f0d137c009dae57c17808afdcb81ecc41033",
    16,
)
Q: Final = int(
    "cb691c4dee77ff03f614ec5f969008aea881c2c8164ddf08e4720337b02af92a"
    "92af56e039de1072e3391326183dabe7e2768de056ee4fc084e1cd55379272b1"
    "6bafd629a1707ae8e2fc8b714d7c5786b7ab730adb8c111b3cd57557c934cb3a"
    "7b6eaf24ab74bea3f5cca5fb53e07e831af69482764d427138349728898185e1",
    16,
)
N: Final = P * Q
D_ECC: Final = int("5c" * 31, 16)
HMAC_KEY: Final = bytes(range(32))
AES_KEY: Final = bytes(range(16))
RSA, KEYEDHASH, ECC, SYMCIPHER = 0x01, 0x08, 0x23, 0x25
SIGN, DECRYPT, RESTRICTED, USER = 1 << 18, 1 << 17, 1 << 16, 1 << 6
NO_DA: Final = 1 << 10
CURVE: Final = {3: ec.SECP256R1(), 4: ec.SECP384R1(), 5: ec.SECP521R1()}
AES_CFB: Final = "000600800043"
NO_SCHEME: Final = "0010"

Areas = tuple[bytes, bytes]  # TPMT_PUBLIC, TPMT_SENSITIVE


def two(data: bytes) -> bytes:
    """TPM2B."""
    return len(data).to_bytes(2, "big") + data


def _public(
    kind: int, attributes: int, parameters: bytes, unique: bytes, name_alg: int
) -> bytes:
    head = kind.to_bytes(2, "big") + name_alg.to_bytes(2, "big")
    return head + attributes.to_bytes(4, "big") + two(b"") + parameters + unique


def _sensitive(kind: int, auth: bytes, seed: bytes, secret: bytes) -> bytes:
    return kind.to_bytes(2, "big") + two(auth) + two(seed) + two(secret)


def rsa_areas(
    uses: int = SIGN | USER,
    scheme: str = NO_SCHEME,
    *,
    auth: bytes = b"",
    symmetric: str = NO_SCHEME,
    name_alg: int = 0x0B,
) -> Areas:
    """The RSA-2048 key of this file."""
    parms = bytes.fromhex(symmetric + scheme) + bytes.fromhex("080000000000")
    unique = two(N.to_bytes(256, "big"))
    public = _public(RSA, uses, parms, unique, name_alg)
    return public, _sensitive(RSA, auth, b"", P.to_bytes(128, "big"))


def ecc_areas(
    uses: int = SIGN | USER,
    scheme: str = NO_SCHEME,
    *,
    auth: bytes = b"",
    curve: int = 3,
    symmetric: str = NO_SCHEME,
    name_alg: int = 0x0B,
) -> Areas:
    """The ECC key of this file, on any curve."""
    numbers = ec.derive_private_key(D_ECC, CURVE[curve]).public_key().public_numbers()
    size = (CURVE[curve].key_size + 7) // 8
    parms = bytes.fromhex(symmetric + scheme) + curve.to_bytes(2, "big") + b"\0\x10"
    unique = two(numbers.x.to_bytes(size, "big")) + two(numbers.y.to_bytes(size, "big"))
    public = _public(ECC, uses, parms, unique, name_alg)
    return public, _sensitive(ECC, auth, b"", D_ECC.to_bytes(size, "big"))


def _with_digest(
    kind: int, uses: int, parms: str, auth: bytes, secret: bytes, name_alg: int
) -> Areas:
    """A symmetric object: unique is H(seedValue || sensitive)."""
    from tpm_client_kit import hash_of

    alg = name_alg if name_alg in DIGEST_SIZE else 0x0B
    seed = bytes(DIGEST_SIZE[alg])
    unique = two(hash_of(alg, seed, secret))
    public = _public(kind, uses, bytes.fromhex(parms), unique, name_alg)
    return public, _sensitive(kind, auth, seed, secret)


def hmac_areas(
    uses: int = SIGN | USER,
    scheme: str = "0005000b",
    *,
    auth: bytes = b"",
    name_alg: int = 0x0B,
) -> Areas:
    """An HMAC key."""
    return _with_digest(KEYEDHASH, uses, scheme, auth, HMAC_KEY, name_alg)


def aes_areas(
    uses: int = SIGN | DECRYPT | USER,
    symmetric: str = AES_CFB,
    *,
    auth: bytes = b"",
    name_alg: int = 0x0B,
) -> Areas:
    """An AES key."""
    return _with_digest(SYMCIPHER, uses, symmetric, auth, AES_KEY, name_alg)


def load_external(areas: Areas, *, public_only: bool = False) -> bytes:
    """The parameters of LoadExternal into the null hierarchy."""
    public, sensitive = areas
    head = two(b"") if public_only else two(sensitive)
    return head + two(public) + NULL.to_bytes(4, "big")


def put_in(
    tpm: Tpm,
    areas: Areas,
    *,
    hierarchy: int = NULL,
    public_only: bool = False,
    external: bool = True,
) -> int:
    """Load a key without a command, as a child of nobody; its handle."""
    public = whole(TPMT_PUBLIC_OR_NULL, areas[0])
    sensitive = None if public_only else whole(TPMT_SENSITIVE, areas[1])
    name = object_name(public)
    made = TpmObject(
        public=public,
        sensitive=sensitive,
        name=name,
        qualified_name=qualified_name(hierarchy.to_bytes(4, "big"), name),
        hierarchy=hierarchy,
        external=external,
    )
    return tpm._inner.state.objects.load(made)
