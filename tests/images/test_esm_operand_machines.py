"""Which slot opens on which machine; a private key stands for the machine's TPM."""

from __future__ import annotations

import hashlib
from functools import cache
from hmac import compare_digest, digest
from typing import Any

import pytest
from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from esm_kit import SEALED_DATA, V2, VECTORS, operand_bytes
from pefstack.images.esm_operand import EsmOperand
from pefstack.images.esm_operand_open import open_operand
from pefstack.images.esm_operand_slot import Slot
from pefstack.images.esm_refusal import OperandError


@cache
def private_key(name: str) -> RSAPrivateKey:
    pem = (VECTORS / "keys" / f"{name}.sec.pem").read_bytes()
    key = load_pem_private_key(pem, None)
    assert isinstance(key, RSAPrivateKey)
    return key


def decrypt(name: str, label: bytes, block: bytes) -> bytes:
    scheme = padding.OAEP(padding.MGF1(SHA256()), SHA256(), label)
    return private_key(name).decrypt(block, scheme)


def kdfa(key: bytes, label: bytes, context: bytes, bits: int) -> bytes:
    text = b"\0\0\0\1" + label + b"\0" + context + bits.to_bytes(4, "big")
    return digest(key, text, "sha256")[: bits // 8]


def imported(name: str, slot: Slot) -> bytes:
    """What Import, Load and Unseal do, but for the policy."""
    public, duplicate, secret = slot.parts()
    seed = decrypt(name, b"DUPLICATE\0", secret)
    object_name = b"\0\x0b" + hashlib.sha256(public).digest()
    integrity, encrypted = duplicate[2:34], duplicate[34:]
    mac = digest(kdfa(seed, b"INTEGRITY", b"", 256), encrypted + object_name, "sha256")
    if not compare_digest(mac, integrity):
        raise ValueError("integrity")
    key = kdfa(seed, b"STORAGE", object_name, 128)
    raw = Cipher(AES(key), CFB(bytes(16))).decryptor().update(encrypted)
    assert raw[:6].hex() == "005000080000"
    return raw[6 + 34 + 2 :]


def unsealed(name: str, slot: Slot) -> bytes:
    if slot.kind == 1:
        return imported(name, slot)
    return decrypt(name, b"", slot.parts()[0])


def ids(machine: str) -> dict[int, bytes]:
    names = V2["machines"][machine]
    return {
        1: bytes.fromhex(names["storage_key_name"])[2:],
        2: bytes.fromhex(names["wrapping_key_name"])[2:],
    }


def opened(file: str, machine: str) -> str:
    try:
        operand = EsmOperand.from_bytes(operand_bytes(file))
        candidates = operand.candidates(ids(machine))
    except OperandError as error:
        return error.refusal.value
    for index in candidates:
        try:
            sealed = unsealed(machine, operand.slots[index])
        except ValueError:
            continue
        assert sealed == SEALED_DATA
        open_operand(operand, sealed)
        return f"slot {index}"
    return "E_UNSEAL"


@pytest.mark.parametrize(
    "case", V2["machine_cases"], ids=lambda each: f"{each['file']}-{each['machine']}"
)
def test_machine_cases(case: dict[str, Any]) -> None:
    assert opened(case["file"], case["machine"]) == case["verdict"]


def test_slots_of_other_machines_are_not_tried() -> None:
    operand = EsmOperand.from_bytes(operand_bytes("several.bin"))
    assert operand.candidates(ids("tpm1")) == (0,)
    assert operand.candidates(ids("tpm2")) == (1, 2)
    assert operand.candidates({1: ids("tpm2")[1]}) == (1,)
    any_machine = EsmOperand.from_bytes(operand_bytes())
    assert any_machine.candidates(ids("owner")) == (2,)
    with pytest.raises(OperandError, match="E_NO_SLOT"):
        any_machine.candidates({1: ids("owner")[1]})
