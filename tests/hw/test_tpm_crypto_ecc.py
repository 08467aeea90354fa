"""Elliptic curves: table, points, keys and signatures."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from hypothesis import given, settings
from hypothesis import strategies as st

from pefstack.hw.entropy import Entropy
from pefstack.hw.tpm.crypto import points
from pefstack.hw.tpm.crypto.curves import NIST_P256, NIST_P384, NIST_P521
from pefstack.hw.tpm.crypto.ecc import (
    CURVES,
    EccKey,
    InfinityError,
    Point,
    add,
    from_private,
    generate,
    multiply,
    on_curve,
    pad,
    sign_ecdaa,
    sign_ecdsa,
    sign_ecschnorr,
    verify_ecdsa,
    verify_ecschnorr,
)
from pefstack.hw.tpm.crypto.points import package_curve
from pefstack.images.p521 import ORDER
from tpm_kit import SHA1, SHA256, SHA384, SHA512, SIZE, vector

ROWS: list[dict[str, Any]] = vector("swtpm_crypto.json")["ecc"]
PACKAGE: dict[int, ec.EllipticCurve] = {
    NIST_P256: ec.SECP256R1(),
    NIST_P384: ec.SECP384R1(),
    NIST_P521: ec.SECP521R1(),
}
NIST = list(PACKAGE)
BN_P256 = 0x10
ECDSA, ECSCHNORR = 0x18, 0x1C
NAME = {SHA1: "sha1", SHA256: "sha256", SHA384: "sha384", SHA512: "sha512"}


def stream(seed: str = "ecc") -> Entropy:
    return Entropy(seed, "test")


def base(curve: int) -> Point:
    return CURVES[curve].gx, CURVES[curve].gy


def row_of(curve: int) -> dict[str, Any]:
    return next(row for row in ROWS if row["curve"] == curve)


@pytest.mark.parametrize("curve", NIST)
def test_parameters_of_the_reference(curve: int) -> None:
    """ECC_Parameters: id, size, kdf, sign, then seven sized numbers."""
    raw = bytes.fromhex(row_of(curve)["parameters"])
    known = CURVES[curve]
    assert int.from_bytes(raw[:2], "big") == known.curve_id == curve
    assert int.from_bytes(raw[2:4], "big") == known.key_bits
    rest, numbers = raw[4:], []
    rest = rest[rest.index(known.size.to_bytes(2, "big") + pad(curve, known.p)) :]
    while rest:
        end = 2 + int.from_bytes(rest[:2], "big")
        numbers.append(int.from_bytes(rest[2:end], "big"))
        rest = rest[end:]
    mine = [known.p, known.a, known.b, known.gx, known.gy, known.n, 1]
    assert numbers == mine
    assert PACKAGE[curve].name == known.name


def test_order_is_the_one_of_the_images() -> None:
    assert CURVES[NIST_P521].n == ORDER


@pytest.mark.parametrize("curve", CURVES)
def test_points_that_are_none(curve: int) -> None:
    x, y = base(curve)
    p = CURVES[curve].p
    assert on_curve(curve, x, y)
    assert on_curve(curve, x, p - y)
    for wrong in ((x, y + 1), (x + 1, y), (x + p, y), (x, y + p), (x, -y), (0, 0)):
        assert not on_curve(curve, *wrong)
        with pytest.raises(ValueError, match="not on the curve"):
            add(curve, (x, y), wrong)
        with pytest.raises(ValueError, match="not on the curve"):
            add(curve, wrong, (x, y))
        with pytest.raises(ValueError, match="not on the curve"):
            multiply(curve, 2, wrong)


@pytest.mark.parametrize("curve", CURVES)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_multiples_add_up(curve: int, data: st.DataObject) -> None:
    """aP + bP = (a + b)P, and d(eG) = (de)G, whoever multiplies."""
    order = CURVES[curve].n
    numbers = st.integers(2, order - 2)
    a, b, e = (data.draw(numbers) for _ in range(3))
    point = multiply(curve, e, base(curve))
    total = (a + b) % order
    if total:
        parts = multiply(curve, a, point), multiply(curve, b, point)
        if parts[0] != parts[1]:
            assert add(curve, *parts) == multiply(curve, total, point)
    assert multiply(curve, a, point) == multiply(curve, a * e, base(curve))


@pytest.mark.parametrize("curve", CURVES)
def test_small_and_great_multiples(curve: int) -> None:
    point, order, p = from_private(curve, 12345).point, CURVES[curve].n, CURVES[curve].p
    negative = point[0], p - point[1]
    double = add(curve, point, point)
    assert multiply(curve, 1, point) == multiply(curve, order + 1, point) == point
    assert multiply(curve, order - 1, point) == multiply(curve, -1, point) == negative
    assert multiply(curve, 2, point) == double
    assert multiply(curve, 3, point) == add(curve, double, point)
    assert multiply(curve, order - 2, point) == (double[0], p - double[1])
    for zero in (0, order, -order):
        with pytest.raises(InfinityError):
            multiply(curve, zero, point)
    with pytest.raises(InfinityError):
        add(curve, point, negative)


@pytest.mark.parametrize("row", ROWS[:3])
def test_shared_point_of_the_reference(row: dict[str, Any]) -> None:
    """ECDH_ZGen answers with both coordinates."""
    other, curve = row["zgen"], row["curve"]
    x, y = multiply(
        curve, int(row["d"], 16), (int(other["x"], 16), int(other["y"], 16))
    )
    size = CURVES[curve].size.to_bytes(2, "big")
    expected = size + pad(curve, x) + size + pad(curve, y)
    assert other["point"].endswith(expected.hex())


@pytest.mark.parametrize("curve", NIST)
def test_the_stream_decides_the_key(curve: int) -> None:
    key, row = generate(Entropy("swtpm", "ecc"), curve), row_of(curve)
    assert key == from_private(curve, int(row["d"], 16))
    assert key.point == (int(row["x"], 16), int(row["y"], 16))
    assert generate(Entropy("other", "ecc"), curve) != key
    assert f"{key.d}" not in repr(key)


@pytest.mark.parametrize("curve", NIST)
def test_where_no_point_is(curve: int) -> None:
    """Half the x-coordinates have points; both of them are found."""
    known, found = CURVES[curve], []
    for x in range(40):
        try:
            found.append((x, points._root_at(curve, x)))
        except ValueError as wrong:
            assert str(wrong) == "no point has this x-coordinate"
    assert 5 < len(found) < 35
    for x, y in found:
        assert (y * y - x * x * x + 3 * x - known.b) % known.p == 0


class Given:
    """A stream that gives numbers chosen by the test."""

    def __init__(self, *numbers: int) -> None:
        self.numbers = list(numbers)

    def random_bytes(self, count: int) -> bytes:
        return self.numbers.pop(0).to_bytes(count, "big")


@pytest.mark.parametrize("curve", CURVES)
def test_private_numbers_at_the_ends(curve: int) -> None:
    order = CURVES[curve].n
    assert generate(Given(0), curve).d == 1
    assert generate(Given(order - 2), curve).d == order - 1
    assert generate(Given(order - 1), curve).d == 1
    for wrong in (0, order, -1):
        with pytest.raises(ValueError, match="out of range"):
            from_private(curve, wrong)


@pytest.mark.parametrize("curve", [0, 1, 2, 6, 0x11])
def test_curves_that_are_not_here(curve: int) -> None:
    with pytest.raises(ValueError, match=f"no curve 0x{curve:04x}"):
        generate(stream(), curve)
    with pytest.raises(ValueError, match=f"no curve 0x{curve:04x}"):
        on_curve(curve, 1, 1)
    with pytest.raises(ValueError, match=f"no curve 0x{curve:04x}"):
        pad(curve, 1)
    assert not verify_ecdsa(curve, 1, 1, bytes(32), 1, 1)
    assert not verify_ecschnorr(curve, 1, 1, SHA256, bytes(32), 1, 1)


def test_padding() -> None:
    assert pad(NIST_P256, 1) == bytes(31) + b"\1"
    assert len(pad(NIST_P384, 0)) == 48
    assert len(pad(NIST_P521, (1 << 528) - 1)) == 66
    for wrong in (1 << 256, -1):
        with pytest.raises(ValueError, match="does not fit"):
            pad(NIST_P256, wrong)


def test_ecdsa_of_rfc_6979() -> None:
    """A.2.5, SHA-256, "sample": the stream gives the k of the vector."""
    d = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
    k = 0xA6E3C57DD01ABE90086538398355DD4C3B17AA873382B0F24D6129493D8AAD60
    digest = hashlib.sha256(b"sample").digest()
    r, s = sign_ecdsa(from_private(NIST_P256, d), digest, Given(k - 1))
    assert r == 0xEFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716
    assert s == 0xF7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8


@pytest.mark.parametrize("curve", NIST)
@pytest.mark.parametrize("alg", NAME)
def test_our_ecdsa_by_the_package(curve: int, alg: int) -> None:
    key, digest = generate(stream(), curve), hashlib.new(NAME[alg], b"x").digest()
    r, s = sign_ecdsa(key, digest, stream())
    scheme = ec.ECDSA(
        utils.Prehashed(
            {
                SHA1: hashes.SHA1(),
                SHA256: hashes.SHA256(),
                SHA384: hashes.SHA384(),
                SHA512: hashes.SHA512(),
            }[alg]
        )
    )
    public = ec.EllipticCurvePublicNumbers(key.x, key.y, PACKAGE[curve]).public_key()
    public.verify(utils.encode_dss_signature(r, s), digest, scheme)
    assert verify_ecdsa(curve, key.x, key.y, digest, r, s)


@pytest.mark.parametrize("alg", NAME)
def test_ecdsa_where_the_package_has_no_curve(alg: int) -> None:
    key, digest = generate(stream(), BN_P256), hashlib.new(NAME[alg], b"x").digest()
    other, order = bytes(len(digest)), CURVES[BN_P256].n
    r, s = sign_ecdsa(key, digest, stream())
    assert verify_ecdsa(BN_P256, *key.point, digest, r, s)
    assert verify_ecdsa(BN_P256, *key.point, digest, r, order - s)
    assert not verify_ecdsa(BN_P256, *key.point, other, r, s)
    assert not verify_ecdsa(BN_P256, 1, 2, digest, r, s)
    assert not verify_ecdsa(BN_P256, key.x, key.y + 1, digest, r, s)
    for wrong in (
        (r, s + 1),
        (r + 1, s),
        (0, s),
        (r, 0),
        (r + order, s),
        (r, s + order),
    ):
        assert not verify_ecdsa(BN_P256, *key.point, digest, *wrong)
    with pytest.raises(ValueError, match="the package has no curve bnp256"):
        package_curve(BN_P256)


def test_ecdsa_of_a_digest_of_zeros_where_the_package_has_no_curve() -> None:
    key = generate(stream(), BN_P256)
    r, s = sign_ecdsa(key, bytes(32), stream())
    assert verify_ecdsa(BN_P256, *key.point, bytes(32), r, s)
    assert not verify_ecdsa(BN_P256, *key.point, bytes(31) + b"\1", r, s)


def verified(row: dict[str, Any], entry: dict[str, Any], digest: bytes) -> bool:
    key = from_private(row["curve"], int(row["d"], 16))
    r, s = int(entry["r"], 16), int(entry["s"], 16)
    if entry["scheme"] == ECDSA:
        return verify_ecdsa(row["curve"], key.x, key.y, digest, r, s)
    alg = entry["alg"]
    return verify_ecschnorr(row["curve"], key.x, key.y, alg, digest, r, s)


def test_signatures_of_the_reference() -> None:
    """Five curves with hashes, ECDSA and EC Schnorr each."""
    entries = [(row, entry) for row in ROWS for entry in row["signatures"]]
    assert [entry["scheme"] for _, entry in entries] == [ECDSA, ECSCHNORR] * 5
    for row, entry in entries:
        digest = bytes.fromhex(entry["digest"])
        assert verified(row, entry, digest)
        assert not verified(row, entry, b"\1" + digest[1:])


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("alg", [SHA1, SHA256, SHA512])
def test_our_schnorr_by_the_equation(curve: int, alg: int) -> None:
    """[s]G - [r]Q is the point whose x was hashed."""
    key, digest = generate(stream(), curve), bytes(SIZE[alg])
    r, s = sign_ecschnorr(key, alg, digest, stream())
    n, p = CURVES[curve].n, CURVES[curve].p
    minus = multiply(curve, r, key.point)
    commitment = add(curve, multiply(curve, s, base(curve)), (minus[0], p - minus[1]))
    hashed = hashlib.new(NAME[alg], pad(curve, commitment[0]) + digest).digest()
    assert r == int.from_bytes(hashed[: CURVES[curve].size], "big") % n
    assert verify_ecschnorr(curve, key.x, key.y, alg, digest, r, s)


@pytest.mark.parametrize("scheme", [ECDSA, ECSCHNORR])
@pytest.mark.parametrize("curve", CURVES)
def test_signatures_that_are_none(scheme: int, curve: int) -> None:
    key, digest = generate(stream(), curve), bytes(range(32))
    order, p = CURVES[curve].n, CURVES[curve].p

    def accepted(x: int, y: int, digest: bytes, r: int, s: int) -> bool:
        if scheme == ECDSA:
            return verify_ecdsa(curve, x, y, digest, r, s)
        return verify_ecschnorr(curve, x, y, SHA256, digest, r, s)

    r, s = (
        sign_ecdsa(key, digest, stream())
        if scheme == ECDSA
        else sign_ecschnorr(key, SHA256, digest, stream())
    )
    other = generate(stream("other"), curve)
    assert accepted(key.x, key.y, digest, r, s)
    for x, y, given_digest, given_r, given_s in (
        (key.x, key.y, bytes(32), r, s),
        (key.x, key.y, digest, r + 1, s),
        (key.x, key.y, digest, r, s + 1),
        (key.x, key.y, digest, r + order, s),
        (key.x, key.y, digest, r, s + order),
        (key.x, key.y, digest, 0, s),
        (key.x, key.y, digest, r, 0),
        (key.x, key.y, digest, order, s),
        (key.x, key.y, digest, -r, s),
        (other.x, other.y, digest, r, s),
        (key.x, p - key.y, digest, r, s),
        (key.x, key.y + 1, digest, r, s),
        (0, 0, digest, r, s),
    ):
        assert not accepted(x, y, given_digest, given_r, given_s)


def test_digest_that_no_hash_gives() -> None:
    key = generate(stream(), NIST_P256)
    with pytest.raises(ValueError, match="a digest of 31 bytes"):
        sign_ecdsa(key, bytes(31), stream())
    assert not verify_ecdsa(NIST_P256, key.x, key.y, bytes(31), 1, 1)


@pytest.mark.parametrize("curve", CURVES)
def test_ecdaa_by_the_equation(curve: int) -> None:
    key, digest = generate(stream(), curve), bytes(32)
    commit = generate(stream("commit"), curve)
    nonce, s = sign_ecdaa(key, SHA256, digest, commit.d, stream("nonce"))
    challenge = hashlib.sha256(pad(curve, nonce) + digest).digest()
    t = int.from_bytes(challenge, "big")
    left = multiply(curve, s, base(curve))
    assert left == add(curve, commit.point, multiply(curve, t, key.point))
    assert 0 < nonce < CURVES[curve].n
    again: EccKey = generate(stream("nonce"), curve)
    assert again.d == nonce  # the nonce is drawn as a private number is
