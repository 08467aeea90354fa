"""RSA: keys, paddings and signatures, with `cryptography` and swtpm as witnesses."""

from __future__ import annotations

import hashlib
from math import gcd
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa, utils

from pefstack.hw.entropy import Entropy
from pefstack.hw.tpm.crypto.kdf import KdfaStream
from pefstack.hw.tpm.crypto.rsa import (
    RsaKey,
    from_prime,
    generate,
    oaep_decrypt,
    oaep_encrypt,
    pkcs1_decrypt,
    pkcs1_encrypt,
    private_op,
    public_op,
    sign_rsapss,
    sign_rsassa,
    verify_rsapss,
    verify_rsassa,
)
from pefstack.hw.tpm.crypto.rsa_encoding import signature_block
from tpm_kit import ALL_BANKS, SHA1, SHA256, SHA384, SHA512, SIZE, vector

ROWS = {row["bits"]: row for row in vector("swtpm_crypto.json")["rsa"]}
PACKAGE: dict[int, hashes.HashAlgorithm] = {
    SHA1: hashes.SHA1(),
    SHA256: hashes.SHA256(),
    SHA384: hashes.SHA384(),
    SHA512: hashes.SHA512(),
}
RSASSA, RSAES, RSAPSS, OAEP, NULL = 0x14, 0x15, 0x16, 0x17, 0x10
LABEL = b"DUPLICATE\0"


def known(bits: int) -> RsaKey:
    """The key that swtpm was given."""
    row = ROWS[bits]
    return from_prime(int(row["n"], 16), row["e"], int(row["p"], 16))


def stream(seed: str = "rsa") -> Entropy:
    return Entropy(seed, "test")


def package_private(key: RsaKey) -> rsa.RSAPrivateKey:
    """The same key for the package, which checks that it is one."""
    d = pow(key.e, -1, (key.p - 1) * (key.q - 1))
    public = rsa.RSAPublicNumbers(key.e, key.n)
    dmp1, dmq1 = rsa.rsa_crt_dmp1(d, key.p), rsa.rsa_crt_dmq1(d, key.q)
    iqmp = rsa.rsa_crt_iqmp(key.p, key.q)
    numbers = rsa.RSAPrivateNumbers(key.p, key.q, d, dmp1, dmq1, iqmp, public)
    return numbers.private_key()


@pytest.mark.parametrize(("bits", "exponent"), [(1024, 3), (2048, 65537), (3072, 5)])
def test_a_key_that_the_package_accepts(bits: int, exponent: int) -> None:
    key = generate(stream(), bits, exponent)
    assert package_private(key).key_size == bits
    assert key.e == exponent
    assert key.n.bit_length() == bits
    assert key.size == bits // 8
    assert key.p * key.q == key.n
    assert {prime >> bits // 2 - 2 for prime in (key.p, key.q)} == {3}
    assert abs(key.p - key.q).bit_length() > bits // 2 - 100
    assert gcd(exponent, (key.p - 1) * (key.q - 1)) == 1


@pytest.mark.parametrize("bits", [1024, 2048])
def test_the_stream_decides_the_key(bits: int) -> None:
    """The keys of the vectors came from this stream: they must never change."""
    assert generate(Entropy("swtpm", "rsa"), bits) == known(bits)
    assert generate(Entropy("other", "rsa"), bits) != known(bits)


def test_primary_keys_follow_from_seed_and_context() -> None:
    keys = [
        generate(KdfaStream(SHA256, seed, context), 1024)
        for seed, context in ((b"s", b"c"), (b"s", b"c"), (b"t", b"c"), (b"s", b"d"))
    ]
    assert keys[0] == keys[1]
    assert len({key.n for key in keys}) == 3


@pytest.mark.parametrize("bits", [0, 512, 1025, 2047, 8192])
def test_sizes_that_are_not_served(bits: int) -> None:
    with pytest.raises(ValueError, match=f"{bits} bits"):
        generate(stream(), bits)


@pytest.mark.parametrize("exponent", [0, 1, 2, 65536, 1 << 32 | 1, -3])
def test_exponents_that_are_none(exponent: int) -> None:
    with pytest.raises(ValueError, match="no public exponent"):
        generate(stream(), 1024, exponent)


@pytest.mark.parametrize("change", ["n", "p", "one", "whole", "e"])
def test_parts_that_do_not_fit(change: str) -> None:
    key = known(1024)
    n, e, p = {
        "n": (key.n + 2, key.e, key.p),
        "p": (key.n, key.e, key.p + 2),
        "one": (key.n, key.e, 1),
        "whole": (key.n, key.e, key.n),
        "e": (key.n, 4, key.p),
    }[change]
    with pytest.raises(ValueError, match=r"does not divide|no public exponent"):
        from_prime(n, e, p)


def test_no_secret_in_repr() -> None:
    key = known(1024)
    assert repr(key) == f"RsaKey(n={key.n}, e=65537)"


@pytest.mark.parametrize("block", [b"", b"\0", b"\1", b"raw", b"\x7f" * 128])
def test_private_undoes_public(block: bytes) -> None:
    key = known(1024)
    sealed = public_op(key.n, key.e, block)
    assert sealed == pow(int.from_bytes(block, "big"), key.e, key.n).to_bytes(128)
    assert private_op(key, sealed) == block.rjust(128, b"\0")


@pytest.mark.parametrize("beyond", [0, 1])
def test_blocks_that_are_no_residue(beyond: int) -> None:
    key = known(1024)
    block = (key.n + beyond).to_bytes(128, "big")
    for wrong in (block, bytes(129)):
        with pytest.raises(ValueError, match=r"not below|a block of 129 bytes"):
            public_op(key.n, key.e, wrong)
        with pytest.raises(ValueError, match=r"not below|a block of 129 bytes"):
            private_op(key, wrong)


def opened(key: RsaKey, row: dict[str, Any]) -> bytes:
    block, label = bytes.fromhex(row["block"]), bytes.fromhex(row["label"])
    if row["scheme"] == OAEP:
        return oaep_decrypt(key, row["alg"], label, block)
    if row["scheme"] == RSAES:
        return pkcs1_decrypt(key, block)
    return private_op(key, block).lstrip(b"\0")


@pytest.mark.parametrize("bits", ROWS)
def test_what_the_reference_encrypted(bits: int) -> None:
    rows = [row for row in ROWS[bits]["encrypted"] if row["rc"] == "0x0"]
    assert {row["scheme"] for row in rows} == {NULL, RSAES, OAEP}
    for row in rows:
        assert opened(known(bits), row).hex() == row["message"]


def test_oaep_that_the_reference_finds_too_long() -> None:
    (row,) = [row for row in ROWS[1024]["encrypted"] if row["rc"] != "0x0"]
    key = known(1024)
    message, label = bytes.fromhex(row["message"]), bytes.fromhex(row["label"])
    with pytest.raises(ValueError, match="9 bytes does not fit"):
        oaep_encrypt(key.n, key.e, row["alg"], label, message, stream())


@pytest.mark.parametrize("bits", ROWS)
def test_signatures_of_the_reference(bits: int) -> None:
    """RSASSA byte for byte; PSS is checked, and its salt is as long as ours."""
    key = known(bits)
    assert len(ROWS[bits]["signatures"]) == 8
    for row in ROWS[bits]["signatures"]:
        alg, digest = row["alg"], bytes.fromhex(row["digest"])
        signature = bytes.fromhex(row["signature"])
        if row["scheme"] == RSASSA:
            assert sign_rsassa(key, alg, digest) == signature
            assert verify_rsassa(key.n, key.e, alg, digest, signature)
        else:
            assert row["scheme"] == RSAPSS
            assert verify_rsapss(key.n, key.e, alg, digest, signature)
            check_pss(key, alg, digest, signature)
            check_pss(key, alg, digest, sign_rsapss(key, alg, digest, stream()))


def check_pss(key: RsaKey, alg: int, digest: bytes, signature: bytes) -> None:
    """The package accepts it with a salt as long as the digest, or as fits."""
    salt = min(SIZE[alg], key.size - SIZE[alg] - 2)
    scheme = padding.PSS(padding.MGF1(PACKAGE[alg]), salt)
    public = rsa.RSAPublicNumbers(key.e, key.n).public_key()
    public.verify(signature, digest, scheme, utils.Prehashed(PACKAGE[alg]))


@pytest.mark.parametrize("salt", [0, 1, 20, 190, 222])
def test_pss_with_a_salt_of_any_length(salt: int) -> None:
    key = known(2048)
    scheme = padding.PSS(padding.MGF1(hashes.SHA256()), salt)
    signature = package_private(key).sign(b"message", scheme, hashes.SHA256())
    digest = hashlib.sha256(b"message").digest()
    assert verify_rsapss(key.n, key.e, SHA256, digest, signature)
    assert not verify_rsapss(key.n, key.e, SHA256, bytes(32), signature)


@pytest.mark.parametrize("alg", ALL_BANKS)
def test_what_we_encrypt_the_package_opens(alg: int) -> None:
    key = known(2048)
    scheme = padding.OAEP(padding.MGF1(PACKAGE[alg]), PACKAGE[alg], LABEL)
    private = package_private(key)
    for size in (0, 1, 32, 256 - 2 - 2 * SIZE[alg]):
        message = bytes(range(size % 256)) or b"x" * size
        block = oaep_encrypt(key.n, key.e, alg, LABEL, message, stream())
        assert private.decrypt(block, scheme) == message
        assert oaep_decrypt(key, alg, LABEL, block) == message
    with pytest.raises(ValueError, match="does not fit"):
        oaep_encrypt(key.n, key.e, alg, LABEL, b"x" * (size + 1), stream())


@pytest.mark.parametrize("size", [0, 1, 100, 117])
def test_pkcs1_padding_has_no_zero(size: int) -> None:
    key, message = known(1024), b"\0" * size
    block = pkcs1_encrypt(key.n, key.e, message, stream(str(size)))
    assert package_private(key).decrypt(block, padding.PKCS1v15()) == message
    assert pkcs1_decrypt(key, block) == message
    raw = private_op(key, block)
    assert raw[:2] == b"\0\2"
    assert 0 not in raw[2 : 127 - size]
    with pytest.raises(ValueError, match="118 bytes does not fit"):
        pkcs1_encrypt(key.n, key.e, bytes(118), stream())


def oaep_by_hand(key: RsaKey, change: str) -> bytes:
    """A block of OAEP-SHA1 with one fault, made apart from the code under test."""
    seed = bytes(20)
    label = b"other\0" if change == "label" else LABEL
    mark = {"mark": b"\2", "no mark": b"\0"}.get(change, b"\1")
    message = b"" if change == "no mark" else b"message"
    fill = bytes(128 - 2 - 40 - len(message))
    data = hashlib.sha1(label).digest() + fill + mark + message
    masked = bytes(a ^ b for a, b in zip(data, mask(seed, 107), strict=True))
    hidden = bytes(a ^ b for a, b in zip(seed, mask(masked, 20), strict=True))
    first = b"\1" if change == "first" else b"\0"
    block = first + hidden + masked
    return pow(int.from_bytes(block, "big"), key.e, key.n).to_bytes(128, "big")


def mask(seed: bytes, size: int) -> bytes:
    blocks = [hashlib.sha1(seed + bytes((0, 0, 0, n))).digest() for n in range(6)]
    return b"".join(blocks)[:size]


def test_oaep_by_hand_is_right_without_a_fault() -> None:
    key = known(1024)
    assert oaep_decrypt(key, SHA1, LABEL, oaep_by_hand(key, "")) == b"message"


@pytest.mark.parametrize("change", ["label", "mark", "no mark", "first"])
def test_every_fault_of_oaep_is_told_alike(change: str) -> None:
    key = known(1024)
    with pytest.raises(ValueError) as caught:
        oaep_decrypt(key, SHA1, LABEL, oaep_by_hand(key, change))
    assert str(caught.value) == "the block cannot be opened"
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    "block",
    [b"", b"\0" * 127, b"\0" * 129, b"\xff" * 128, b"\0" * 128],
    ids=["empty", "short", "long", "not below n", "zeros"],
)
def test_no_block_at_all(block: bytes) -> None:
    key = known(1024)
    for alg in (SHA1, SHA512):  # two SHA-512 do not fit 128 bytes
        with pytest.raises(ValueError, match=r"^the block cannot be opened$"):
            oaep_decrypt(key, alg, LABEL, block)
    with pytest.raises(ValueError, match=r"^the block cannot be opened$"):
        pkcs1_decrypt(key, block)


@pytest.mark.parametrize(
    "raw",
    [
        b"\0\2" + b"\1" * 7 + b"\0" + b"m" * 118,  # seven bytes of padding
        b"\0\1" + b"\1" * 100 + b"\0" + b"m" * 25,
        b"\1\2" + b"\1" * 100 + b"\0" + b"m" * 25,
        b"\0\2" + b"\1" * 126,  # no end
        b"\0\2\0" + b"m" * 125,
    ],
)
def test_faults_of_pkcs1(raw: bytes) -> None:
    key = known(1024)
    with pytest.raises(ValueError, match=r"^the block cannot be opened$"):
        pkcs1_decrypt(key, public_op(key.n, key.e, raw))


def test_pkcs1_with_just_enough_padding() -> None:
    key = known(1024)
    raw = b"\0\2" + b"\1" * 8 + b"\0" + b"m" * 117
    assert pkcs1_decrypt(key, public_op(key.n, key.e, raw)) == b"m" * 117


@pytest.mark.parametrize("alg", ALL_BANKS)
@pytest.mark.parametrize("scheme", [RSASSA, RSAPSS])
def test_signatures_that_are_none(alg: int, scheme: int) -> None:
    key, digest = known(1024), bytes(SIZE[alg])
    if scheme == RSASSA:
        signature, verify = sign_rsassa(key, alg, digest), verify_rsassa
    else:
        signature, verify = sign_rsapss(key, alg, digest, stream()), verify_rsapss
    assert verify(key.n, key.e, alg, digest, signature)
    other_alg = SHA256 if alg != SHA256 else SHA384
    changed = signature[:-1] + bytes((signature[-1] ^ 1,))
    beyond = (int.from_bytes(signature, "big") + key.n).to_bytes(129, "big")
    for given_alg, given_digest, given in (
        (alg, b"\1" + digest[1:], signature),
        (other_alg, bytes(SIZE[other_alg]), signature),
        (alg, digest, changed),
        (alg, digest, b"\0" + signature),
        (alg, digest, signature[:-1]),
        (alg, digest, beyond),
        (alg, digest, b"\xff" * 128),
        (alg, digest, b""),
        (alg, digest[:-1], signature),
        (0x0010, digest, signature),
    ):
        assert not verify(key.n, key.e, given_alg, given_digest, given)
    other = known(2048)
    assert not verify(other.n, other.e, alg, digest, signature)


def test_signature_without_its_leading_zero() -> None:
    """The number is the same, but the signature has lost a byte."""
    key = known(1024)
    for number in range(4000):
        digest = number.to_bytes(32, "big")
        signature = sign_rsassa(key, SHA256, digest)
        if signature[0] == 0:
            break
    assert verify_rsassa(key.n, key.e, SHA256, digest, signature)
    assert not verify_rsassa(key.n, key.e, SHA256, digest, signature[1:])


@pytest.mark.parametrize(
    "fill",
    [b"\xff" * 8, b"\xff" * 73 + b"\xfe", b"\1" * 74],
    ids=["early", "one byte", "other bytes"],
)
def test_rsassa_wants_the_whole_block(fill: bytes) -> None:
    """A digest at the end, or the right start, is no signature."""
    key, digest = known(1024), bytes(32)
    info = bytes.fromhex("3031300d060960864801650304020105000420")
    block = (b"\0\1" + fill + b"\0" + info + digest).ljust(128, b"\0")
    assert not verify_rsassa(key.n, key.e, SHA256, digest, private_op(key, block))
    right = b"\0\1" + b"\xff" * 74 + b"\0" + info + digest
    assert verify_rsassa(key.n, key.e, SHA256, digest, private_op(key, right))


@pytest.mark.parametrize(
    "change", ["tail", "hash", "top bit", "mark", "padding", "salt", "message"]
)
def test_faults_of_pss(change: str) -> None:
    """Each part of the encoding counts; without a fault the block is accepted."""
    key, digest = known(1024), hashlib.sha1(b"x").digest()
    wanted = bytes(20) if change == "message" else digest

    def is_accepted(change: str) -> bool:
        signature = private_op(key, pss_by_hand(digest, change))
        return verify_rsapss(key.n, key.e, SHA1, wanted, signature)

    if change != "message":
        assert is_accepted("")
    assert not is_accepted(change)


def pss_by_hand(digest: bytes, change: str) -> bytes:
    """A block of PSS-SHA1 with one fault, below the modulus even with its top bit."""
    for number in range(256):
        salt = bytes((number,)) * 20
        used = b"t" * 20 if change == "salt" else salt
        hashed = hashlib.sha1(bytes(8) + digest + used).digest()
        fill = b"\1" * 86 if change == "padding" else bytes(86)
        data = fill + (b"\2" if change == "mark" else b"\1") + salt
        masked = bytes(a ^ b for a, b in zip(data, mask(hashed, 107), strict=True))
        if masked[0] & 0x7F < 0x10:  # the modulus begins with 0x90 or more
            break
    top = masked[0] & 0x7F | (0x80 if change == "top bit" else 0)
    hashed = bytes(20) if change == "hash" else hashed
    tail = b"\xbb" if change == "tail" else b"\xbc"
    return bytes((top,)) + masked[1:] + hashed + tail


def test_digests_too_long_for_a_small_modulus() -> None:
    """A modulus of 512 bits, as an outside key may have, holds no SHA-512."""
    p, q = 2**256 - 189, 2**256 - 357
    key = from_prime(p * q, 65537, p)
    with pytest.raises(ValueError, match="64 bytes does not fit"):
        signature_block(SHA512, bytes(64), key.size)
    with pytest.raises(ValueError, match="64 bytes does not fit"):
        sign_rsapss(key, SHA512, bytes(64), stream())
    assert not verify_rsassa(key.n, key.e, SHA512, bytes(64), bytes(64))
    assert not verify_rsapss(key.n, key.e, SHA512, bytes(64), bytes(64))


def test_digests_of_a_wrong_size() -> None:
    key = known(1024)
    with pytest.raises(ValueError, match="a digest of 31 bytes"):
        sign_rsassa(key, SHA256, bytes(31))
    with pytest.raises(ValueError, match="a digest of 33 bytes"):
        sign_rsapss(key, SHA256, bytes(33), stream())
    with pytest.raises(ValueError, match="0x0010"):
        sign_rsassa(key, 0x0010, bytes(32))
    with pytest.raises(ValueError, match="0x0012"):
        oaep_decrypt(key, 0x0012, LABEL, bytes(128))
