"""Slots and lockboxes for the keys of the vectors."""

from __future__ import annotations

import hashlib
from typing import Final

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from esm_kit import BLOBS, SEALED_DATA, V2, VECTORS, blob_bytes, operand_bytes
from pefstack.hw.entropy import Entropy
from pefstack.images.esm_blob import EsmBlob
from pefstack.images.esm_blob_refusal import BlobError
from pefstack.images.esm_lockbox import next_name
from pefstack.images.esm_operand import EsmOperand
from pefstack.images.esm_operand_edit import insert_slot
from pefstack.images.esm_operand_keys import SealedData
from pefstack.tools.errors import UsageError
from pefstack.tools.esm_sealing import import_slot, lockbox_slot, make_lockbox

POLICY: Final = bytes.fromhex(V2["sealed"]["policy"])
STORAGE: Final = (VECTORS / "v2" / "storage-key.pub").read_bytes()[2:]
SEALED: Final = SealedData.from_bytes(SEALED_DATA)
KEY: Final = bytes.fromhex(BLOBS["b"]["master_key"])
OAEP: Final = padding.OAEP(padding.MGF1(SHA256()), SHA256(), None)


def stream() -> Entropy:
    return Entropy("seed", "seal")


def test_slot_for_the_storage_key_of_a_software_tpm() -> None:
    slot = import_slot(STORAGE, POLICY, SEALED, stream())
    name = V2["machines"]["storage-key"]["storage_key_name"]
    assert slot.machine_id.hex() == name[4:]
    public, duplicate, secret = slot.parts()
    assert (len(public), len(duplicate), len(secret)) == (78, 116, 256)
    raw = insert_slot(operand_bytes("placeholder.bin"), slot)
    assert EsmOperand.from_bytes(raw).candidates({1: slot.machine_id}) == (0,)
    assert import_slot(STORAGE, POLICY, SEALED, stream()) == slot


@pytest.mark.parametrize("at", [0, 31])
def test_a_storage_key_of_another_policy_is_refused(at: int) -> None:
    other = bytes(b ^ (i == at) for i, b in enumerate(POLICY))
    with pytest.raises(UsageError, match="PCR6"):
        import_slot(STORAGE, other, SEALED, stream())


def test_keys_that_are_no_keys() -> None:
    with pytest.raises(UsageError, match="TPMT_PUBLIC"):
        lockbox_slot(b"x", SEALED, stream())
    with pytest.raises(UsageError, match="TPMT_PUBLIC"):
        import_slot(STORAGE[1:], POLICY, SEALED, stream())
    signing = STORAGE.replace(bytes.fromhex("00030432"), bytes.fromhex("00020432"), 1)
    with pytest.raises(UsageError, match="not a storage key"):
        not_restricted = signing.replace(
            bytes.fromhex("00020432"), bytes.fromhex("00020c20")
        )
        import_slot(not_restricted, POLICY, SEALED, stream())


def test_lockbox_of_a_blob() -> None:
    blob = EsmBlob.from_bytes(blob_bytes("b"))
    pem = (VECTORS / "keys" / "owner.pub.pem").read_bytes()
    box = make_lockbox(next_name(blob.lockboxes), pem, KEY, stream(), "one more")
    assert box.name == "lockbox-3"
    assert box.fingerprint == hashlib.sha256(pem).digest()
    secret = (VECTORS / "keys" / "owner.sec.pem").read_bytes()
    private = load_pem_private_key(secret, None)
    assert isinstance(private, RSAPrivateKey)
    assert private.decrypt(box.encrypted_symkey, OAEP) == KEY
    assert make_lockbox(box.name, pem, KEY, stream(), "one more") == box


def pem_of(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    form = PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(Encoding.PEM, form)


def test_lockboxes_that_are_not_made() -> None:
    pem = (VECTORS / "keys" / "owner.pub.pem").read_bytes()
    for wrong in (
        b"",
        pem[:-60],
        bytes(0x4001),
        pem_of(ec.generate_private_key(ec.SECP256R1())),
        pem_of(rsa.generate_private_key(65537, 1024)),
    ):
        with pytest.raises(UsageError, match="public key"):
            make_lockbox("lockbox-1", wrong, KEY, stream())
    with pytest.raises(BlobError, match="B_MASTER_KEY"):
        make_lockbox("lockbox-1", pem, KEY[1:], stream())
    with pytest.raises(BlobError, match="one line"):
        make_lockbox("lockbox-1", pem, KEY, stream(), "two\nlines")
