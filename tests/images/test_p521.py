"""ECDSA over P-521: raw keys and signatures, the edges of the numbers, no memory."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.hashes import SHA512
from hypothesis import given
from hypothesis import strategies as st

from container_matrix import BOOT_CHAIN, KEYS, put_bytes, sign
from pefstack.images import p521
from strategies import imprint_signer

BOOTKERNEL = (BOOT_CHAIN / "containers" / "good" / "bootkernel-3sw.stb").read_bytes()
# RFC 6979, A.2.7: the key, and its signatures with SHA-512
RFC_KEY = int(
    "00FAD06DAA62BA3B25D2FB40133DA757205DE67F5BB0018FEE8C86E1B68C7E75"
    "CAA896EB32F1F47C70855836A6D16FCC1466F6D8FBEC67DB89EC0C08B0E996B8"
    "3538",
    16,
)
RFC_SAMPLE = (
    "00C328FAFCBD79DD77850370C46325D987CB525569FB63C5D3BC53950E6D4C5F"
    "174E25A1EE9017B5D450606ADD152B534931D7D4E8455CC91F9B15BF05EC36E3"
    "77FA",
    "00617CCE7CF5064806C467F678D3B4080D6F1CC50AF26CA209417308281B68AF"
    "282623EAA63E5B5C0723D8B8C37FF0777B1A20F8CCB1DCCC43997F1EE0E44DA4"
    "A67A",
)


def rs(r: int, s: int) -> bytes:
    return r.to_bytes(66, "big") + s.to_bytes(66, "big")


@pytest.mark.parametrize("number", [0, 1, 2])
def test_signatures_of_the_field(number: int) -> None:
    """Made by another tool, with a random nonce: the hardware signatures of a file."""
    key = BOOTKERNEL[30 + 132 * number :][:132]
    signature = BOOTKERNEL[524 + 132 * number :][:132]
    message = BOOTKERNEL[426:524]
    assert p521.is_signed(key, signature, message)
    assert not p521.is_signed(key, signature, message[:-1])
    other = BOOTKERNEL[30 + 132 * ((number + 1) % 3) :][:132]
    assert not p521.is_signed(other, signature, message)


def test_rfc_6979_signature() -> None:
    key = ec.derive_private_key(RFC_KEY, ec.SECP521R1())
    assert p521.sign(key, b"sample").hex() == "".join(RFC_SAMPLE).lower()


def test_signing_is_deterministic() -> None:
    """The same bytes each time, and the same as the test's own signing gives."""
    signer = imprint_signer("hw_key_b")
    assert signer.sign(b"message") == signer.sign(b"message")
    assert signer.sign(b"message") == sign("hw_key_b", b"message")
    assert signer.sign(b"message") != signer.sign(b"massage")


@given(st.binary(max_size=200))
def test_what_is_signed_verifies(message: bytes) -> None:
    signer = imprint_signer("sw_key_q")
    signature = signer.sign(message)
    assert len(signature) == 132
    assert p521.is_signed(signer.public_key, signature, message)
    assert not p521.is_signed(signer.public_key, signature, message + b"\0")


@given(st.integers(0, 131), st.integers(1, 255), st.sampled_from(["key", "signature"]))
def test_a_changed_byte_is_noticed(at: int, change: int, where: str) -> None:
    signer = imprint_signer("sw_key_p")
    parts = {"key": signer.public_key, "signature": signer.sign(b"message")}
    changed = put_bytes(parts[where], at, bytes([parts[where][at] ^ change]))
    parts[where] = changed
    assert not p521.is_signed(parts["key"], parts["signature"], b"message")


@given(st.binary(max_size=200), st.binary(max_size=200), st.binary(max_size=50))
def test_noise_has_signed_nothing(key: bytes, signature: bytes, message: bytes) -> None:
    assert not p521.is_signed(key, signature, message)


@pytest.mark.parametrize(
    ("r", "s"),
    [
        (0, 0),
        (0, 1),
        (1, 0),
        (p521.ORDER, 1),
        (1, p521.ORDER),
        (1 << 527, 1 << 527),
    ],
)
def test_numbers_outside_the_group_sign_nothing(r: int, s: int) -> None:
    key = imprint_signer("hw_key_a").public_key
    assert not p521.is_signed(key, rs(r, s), b"message")


def test_a_signature_is_not_taken_with_numbers_beyond_the_order() -> None:
    signer = imprint_signer("hw_key_a")
    signature = signer.sign(b"message")
    r, s = (int.from_bytes(signature[at : at + 66], "big") for at in (0, 66))
    assert not p521.is_signed(signer.public_key, rs(r + p521.ORDER, s), b"message")
    assert not p521.is_signed(signer.public_key, rs(r, s + p521.ORDER), b"message")


@pytest.mark.parametrize("key", [bytes(132), b"\xff" * 132, bytes(131) + b"\1", b""])
def test_a_key_that_is_no_point_has_signed_nothing(key: bytes) -> None:
    signature = imprint_signer("hw_key_a").sign(b"message")
    assert not p521.is_signed(key, signature, b"message")


def test_a_forger_cannot_use_the_zero_signature_of_a_zero_key() -> None:
    assert not p521.is_signed(bytes(132), bytes(132), bytes(98))


def test_order_of_the_group() -> None:
    """The largest private key is one less: its point is that of 1, mirrored."""
    last = ec.derive_private_key(p521.ORDER - 1, ec.SECP521R1())
    first = ec.derive_private_key(1, ec.SECP521R1())
    assert p521.public_bytes(last)[:66] == p521.public_bytes(first)[:66]
    assert p521.public_bytes(last)[66:] != p521.public_bytes(first)[66:]


@pytest.mark.parametrize("name", ["hw_key_a", "hw_key_b", "hw_key_c", "sw_key_p"])
def test_public_bytes_of_the_field(name: str) -> None:
    raw = (KEYS / "raw" / f"{name}.bin").read_bytes()
    assert imprint_signer(name).public_key == raw


@given(st.binary(min_size=74, max_size=80))
def test_derived_keys_sign(secret: bytes) -> None:
    key = p521.derive_key(secret)
    public = p521.public_bytes(key)
    assert len(public) == 132
    assert p521.is_signed(public, p521.sign(key, secret), secret)


@pytest.mark.parametrize("secret", [bytes(80), b"\xff" * 80, b""])
def test_every_secret_gives_a_key(secret: bytes) -> None:
    number = 1 + int.from_bytes(secret, "big") % (p521.ORDER - 1)
    wanted = ec.derive_private_key(number, ec.SECP521R1())
    made = p521.public_bytes(p521.derive_key(secret))
    assert made == p521.public_bytes(wanted)


def test_the_message_is_hashed_with_sha_512() -> None:
    """A signature over the digest itself, made outside, verifies over the message."""
    key = ec.derive_private_key(RFC_KEY, ec.SECP521R1())
    digest = hashlib.sha512(b"message").digest()
    der = key.sign(digest, ec.ECDSA(utils.Prehashed(SHA512())))
    signature = rs(*utils.decode_dss_signature(der))
    assert p521.is_signed(p521.public_bytes(key), signature, b"message")
