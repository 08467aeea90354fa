"""Slots made outside a TPM, against those that another program made."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from pefstack.hw.entropy import Entropy
from pefstack.hw.tpm import sealing

VECTORS: Final = Path(__file__).parents[1] / "vectors" / "esm"
EXPECTED: Final[dict[str, Any]] = json.loads(
    (VECTORS / "v2" / "expected.json").read_text()
)
POLICY: Final = bytes.fromhex(EXPECTED["sealed"]["policy"])
SEALED: Final = bytes.fromhex(EXPECTED["sealed_data"])
SLOTS: Final = {"tpm1": ("several.bin", 0), "tpm2": ("several.bin", 1)}


def private_key(name: str) -> RSAPrivateKey:
    pem = (VECTORS / "keys" / f"{name}.sec.pem").read_bytes()
    key = load_pem_private_key(pem, None)
    assert isinstance(key, RSAPrivateKey)
    return key


def storage_public(name: str) -> bytes:
    """A TPMT_PUBLIC written by hand, as the README of the vectors says."""
    modulus = private_key(name).public_key().public_numbers().n.to_bytes(256, "big")
    head = "0001000b00030432" + "0020" + POLICY.hex()
    head += "000600800043" + "0010" + "0800" + "00000000" + "0100"
    return bytes.fromhex(head) + modulus


def wrapping_public(name: str) -> bytes:
    modulus = private_key(name).public_key().public_numbers().n.to_bytes(256, "big")
    policy = "0b393cdf87237e27ba026c1fc0f14fc5237b97c41eaf1d9d0cb34ed617d00923"
    head = "0001000b00020c20" + "0020" + policy
    head += "0010" + "0017000b" + "0800" + "00000000" + "0100"
    return bytes.fromhex(head) + modulus


def body_of(file: str, index: int) -> bytes:
    raw = (VECTORS / "v2" / file).read_bytes()
    at = 32 + 2048 * index
    used = int.from_bytes(raw[at + 4 : at + 8], "big")
    return raw[at + 40 : at + 40 + used]


class Given:
    """A stream that gives these bytes and no more."""

    def __init__(self, *values: bytes) -> None:
        self.left = b"".join(values)

    def random_bytes(self, count: int) -> bytes:
        assert count <= len(self.left)
        value, self.left = self.left[:count], self.left[count:]
        return value


def mask(seed: bytes, size: int) -> int:
    blocks = [hashlib.sha256(seed + bytes((0, 0, 0, i))).digest() for i in range(9)]
    return int.from_bytes(b"".join(blocks)[:size], "big")


def oaep_seed(name: str, block: bytes) -> bytes:
    """The random value of an OAEP block, by raw RSA and MGF1."""
    numbers = private_key(name).private_numbers()
    number = pow(int.from_bytes(block, "big"), numbers.d, numbers.public_numbers.n)
    raw = number.to_bytes(256, "big")
    return (int.from_bytes(raw[1:33], "big") ^ mask(raw[33:], 32)).to_bytes(32, "big")


@pytest.mark.parametrize("name", ["owner", "tpm1", "tpm2"])
def test_machines_are_named_as_elsewhere(name: str) -> None:
    machine = EXPECTED["machines"][name]
    for area, key in (
        (storage_public(name), "storage_key_name"),
        (wrapping_public(name), "wrapping_key_name"),
    ):
        public = sealing.read_key(area)
        assert public.to_bytes() == area
        assert sealing.machine_id(public).hex() == machine[key][4:]


@pytest.mark.parametrize("name", SLOTS)
def test_import_body_is_that_of_another_program(name: str) -> None:
    expected = body_of(*SLOTS[name])
    stream = Given(
        bytes.fromhex(EXPECTED["sealed"]["obfuscation"]),
        bytes.fromhex(EXPECTED["dup_seeds"][name]),
        oaep_seed(name, expected[-256:]),
    )
    key = sealing.read_key(storage_public(name))
    body = sealing.import_body(key, POLICY, SEALED, stream)
    assert body == expected
    assert len(body) == 456
    assert stream.left == b""


def test_lockbox_body_is_that_of_another_program() -> None:
    expected = body_of("several.bin", 2)
    key = sealing.read_key(wrapping_public("tpm2"))
    stream = Given(oaep_seed("tpm2", expected[-256:]))
    assert sealing.lockbox_body(key, SEALED, stream) == expected


def test_lockbox_opens_with_the_private_key() -> None:
    body = sealing.lockbox_body(
        sealing.read_key(wrapping_public("tpm1")), SEALED, Entropy("s", "lockbox")
    )
    scheme = padding.OAEP(padding.MGF1(SHA256()), SHA256(), None)
    assert private_key("tpm1").decrypt(body[2:], scheme) == SEALED


def test_sealed_object_has_no_other_way_in() -> None:
    """userWithAuth is clear, adminWithPolicy set: only the policy opens it."""
    public = sealing.sealed_public(POLICY, SEALED, bytes(32))
    raw = public.to_bytes()
    assert raw[:8].hex() == "0008000b00000480"
    assert raw[10:42] == POLICY
    assert raw[46:] == hashlib.sha256(bytes(32) + SEALED).digest()


@pytest.mark.parametrize(
    ("area", "word"),
    [
        (b"", "TPMT_PUBLIC"),
        (storage_public("tpm1") + b"\0", "TPMT_PUBLIC"),
        (storage_public("tpm1")[:-1], "TPMT_PUBLIC"),
        (sealing.sealed_public(POLICY, SEALED, bytes(32)).to_bytes(), "RSA"),
        (storage_public("tpm1").replace(b"\0\x0b", b"\0\x0c", 1), "nameAlg"),
        (storage_public("tpm1")[:-258] + b"\0\x80" + bytes(128), "modulus"),
    ],
)
def test_keys_that_are_refused(area: bytes, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        sealing.read_key(area)


def test_nothing_is_sealed_to_a_key_that_stores_nothing() -> None:
    key = sealing.read_key(wrapping_public("tpm1"))
    with pytest.raises(ValueError, match="storage key"):
        sealing.import_body(key, POLICY, SEALED, Given())


def test_policy_of_another_size() -> None:
    key = sealing.read_key(storage_public("tpm1"))
    with pytest.raises(ValueError, match="31 bytes"):
        sealing.import_body(key, POLICY[1:], SEALED, Given())
