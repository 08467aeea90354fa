"""ESM operands as this project builds and edits them."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from hmac import digest

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR
from hypothesis import given, settings
from hypothesis import strategies as st

from esm_kit import SEALED_DATA, V2, VECTORS, operand_bytes
from pefstack.images.esm_integrity import IntegrityBlock, Measured
from pefstack.images.esm_operand import EsmOperand
from pefstack.images.esm_operand_build import build_operand, build_payload
from pefstack.images.esm_operand_edit import (
    insert_slot,
    put_slot,
    remove_slot,
    replace_slot,
)
from pefstack.images.esm_operand_keys import SealedData
from pefstack.images.esm_operand_open import Secret, open_operand
from pefstack.images.esm_operand_slot import Slot
from pefstack.images.esm_refusal import OperandError

SEED = bytes.fromhex(V2["seed"])
SVM_ID = bytes.fromhex(V2["svm_id"])
NONCE = bytes.fromhex(V2["build_nonce"])
RTAS = bytes.fromhex("7c641b783c6000006063f000440000224e800020")
GUEST = {
    1: (VECTORS / "in" / "vmlinux-a.bin").read_bytes(),
    2: b"init=/bin/sh svm=1",
    3: (VECTORS / "in" / "initrd-a.cpio").read_bytes(),
    4: RTAS,
}
INTEGRITY = IntegrityBlock(
    security_version=3, parts={kind: Measured.of(raw) for kind, raw in GUEST.items()}
)
SECRETS = tuple(
    Secret(type=kind, name=name, content=bytes.fromhex(content))
    for kind, name, content in V2["blocks"][1:]
)
LOCKBOX = b"\1\0" + b"\x5a" * 256


def payload(**changes: bool) -> bytes:
    return build_payload(
        SEED, INTEGRITY, SECRETS, svm_id=SVM_ID, build_nonce=NONCE, **changes
    )


def lockbox(number: int) -> Slot:
    return Slot(kind=2, machine_id=bytes((number,)) * 32, body=LOCKBOX)


def refusal(call: object, *values: object) -> str:
    assert callable(call)
    with pytest.raises(OperandError) as caught:
        call(*values)
    return caught.value.refusal.value


def test_built_as_by_another_program() -> None:
    """Same input, same bytes: keys, cipher, table, padding and HMAC."""
    good = EsmOperand.from_bytes(operand_bytes())
    assert payload() == good.payload
    built = build_operand(payload(), good.slots[:3], slot_count=4)
    assert built.to_bytes() == operand_bytes()
    assert build_operand(payload(), slot_count=4).to_bytes() == operand_bytes(
        "placeholder.bin"
    )


def test_integrity_block_in_clear() -> None:
    theirs = EsmOperand.from_bytes(operand_bytes("clear-integrity.bin")).payload
    assert payload(clear_integrity=True) == theirs
    assert INTEGRITY.to_bytes() in theirs
    assert INTEGRITY.to_bytes() not in payload()


def derived(label: bytes, bits: int) -> bytes:
    """KDFa of the seed, as SP 800-108 says it."""
    tail = label + b"\0" + SVM_ID + NONCE + bits.to_bytes(4, "big")
    blocks = [digest(SEED, bytes((0, 0, 0, i)) + tail, "sha256") for i in (1, 2)]
    return b"".join(blocks)[: bits // 8]


@pytest.mark.parametrize("hidden", [bytes(8), b"hidden!!", bytes(72)])
def test_bytes_that_belong_to_no_block(hidden: bytes) -> None:
    """Behind the last block, under a right HMAC."""
    body = payload()[:-64] + hidden
    body = body[:8] + (len(body) + 64).to_bytes(4, "big") + body[12:]
    raw = body + digest(derived(b"ESM-MAC", 512), body, hashlib.sha512)
    operand = build_operand(raw, slot_count=1)
    assert refusal(open_operand, operand, SEALED_DATA) == "E_TOC_RANGE"


def test_keys_and_places_recomputed_here() -> None:
    """SP 800-108, AES and HMAC out of the standard library and `cryptography`."""
    made = payload()

    assert derived(b"ESM-ENC", 256).hex() == V2["enc_key"]
    assert derived(b"ESM-MAC", 512).hex() == V2["mac_key"]
    mac = digest(derived(b"ESM-MAC", 512), made[:-64], hashlib.sha512)
    assert made[-64:] == mac
    counter = bytes((0, 0, 0, 2)) + bytes(12)
    context = Cipher(AES(derived(b"ESM-ENC", 256)), CTR(counter)).decryptor()
    start = 64 + 64 * 4 + 16 + 80 * 4
    assert context.update(made[start : start + 28]) == SECRETS[0].content
    assert made[start + 28 : start + 32] == bytes(4)


PARTS = [
    ("as measured", {}, ()),
    ("kernel", {1: GUEST[1][:-1] + b"\0"}, (1,)),
    ("shorter kernel", {1: GUEST[1][:-1]}, (1,)),
    ("command line with its NUL", {2: GUEST[2] + b"\0"}, (2,)),
    ("initramfs and RTAS", {3: b"", 4: RTAS[:-1] + b"!"}, (3, 4)),
]


@pytest.mark.parametrize(("_", "changes", "differs"), PARTS)
def test_guest_is_compared(
    _: str, changes: dict[int, bytes], differs: tuple[int, ...]
) -> None:
    guest = {kind: Measured.of(raw) for kind, raw in (GUEST | changes).items()}
    assert INTEGRITY.differing(guest) == differs
    if differs:
        assert refusal(INTEGRITY.check_guest, guest) == "E_DIGEST"
    else:
        INTEGRITY.check_guest(guest)


@pytest.mark.parametrize("name", ["digest-kernel.bin", "digest-length.bin"])
def test_another_kernel_was_measured(name: str) -> None:
    opened = open_operand(EsmOperand.from_bytes(operand_bytes(name)), SEALED_DATA)
    guest = {kind: Measured.of(raw) for kind, raw in GUEST.items()}
    assert opened.integrity.differing(guest) == (1,)


def test_a_part_that_was_not_measured_differs() -> None:
    guest = {kind: Measured.of(raw) for kind, raw in GUEST.items() if kind != 4}
    assert INTEGRITY.differing(guest) == (4,)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.binary(max_size=60), max_size=8),
    st.booleans(),
    st.integers(0, 2**32 - 1),
    st.binary(min_size=32, max_size=32),
)
def test_round_trip(
    contents: list[bytes], clear: bool, version: int, seed: bytes
) -> None:
    secrets = tuple(
        Secret(type=3, name=f"d{index}", content=content)
        for index, content in enumerate(contents)
    )
    integrity = replace(INTEGRITY, security_version=version)
    raw = build_payload(
        seed,
        integrity,
        secrets,
        svm_id=SVM_ID,
        build_nonce=NONCE,
        clear_integrity=clear,
    )
    operand = build_operand(raw, slot_count=1)
    sealed = SealedData(seed=seed, minimum_version=version).to_bytes()
    opened = open_operand(operand, sealed)
    assert (opened.integrity, opened.secrets) == (integrity, secrets)
    wrong = bytes((seed[0] ^ 1,)) + seed[1:]
    other = SealedData(seed=wrong, minimum_version=version).to_bytes()
    assert refusal(open_operand, operand, other) == "E_MAC"


@pytest.mark.parametrize(
    ("secrets", "expected"),
    [
        ((SECRETS[1], SECRETS[0]), "E_TOC_TYPE"),
        ((SECRETS[0], SECRETS[0]), "E_TOC_TYPE"),
        ((SECRETS[1], SECRETS[1]), "E_TOC_NAME"),
        ((Secret(type=3, name="", content=b""),), "E_TOC_NAME"),
        ((Secret(type=3, name="1st", content=b""),), "E_TOC_NAME"),
        ((Secret(type=3, name="a" * 32, content=b""),), "E_TOC_NAME"),
        ((Secret(type=3, name="ü", content=b""),), "E_TOC_NAME"),
        ((Secret(type=1, name="", content=b""),), "E_TOC_TYPE"),
        ((Secret(type=4, name="a", content=b""),), "E_TOC_TYPE"),
        ((Secret(type=3, name="a", content=bytes(65537)),), "E_TOC_RANGE"),
        (
            tuple(Secret(type=3, name=f"d{i}", content=b"") for i in range(64)),
            "E_PAY_LIMIT",
        ),
    ],
)
def test_blocks_that_are_not_built(secrets: tuple[Secret, ...], expected: str) -> None:
    with pytest.raises(OperandError) as caught:
        build_payload(SEED, INTEGRITY, secrets, svm_id=SVM_ID, build_nonce=NONCE)
    assert caught.value.refusal == expected


def test_limits_of_an_operand() -> None:
    assert refusal(build_too_many) == "E_LIMIT"
    big = tuple(
        Secret(type=3, name=f"d{index}", content=bytes(65536)) for index in range(16)
    )
    raw = build_payload(SEED, INTEGRITY, big, svm_id=SVM_ID, build_nonce=NONCE)
    with pytest.raises(OperandError, match="E_LIMIT"):
        build_operand(raw, slot_count=1)
    with pytest.raises(OperandError, match="E_LIMIT"):
        build_operand(payload(), slot_count=0)


def build_too_many() -> None:
    build_operand(payload(), slot_count=65)


def test_seed_and_identity_have_their_sizes() -> None:
    assert refusal(SealedData(seed=SEED[1:]).to_bytes) == "E_SEED"
    assert refusal(SealedData(seed=SEED, minimum_version=-1).to_bytes) == "E_SEED"
    assert SealedData(seed=SEED, minimum_version=2).to_bytes() == SEALED_DATA
    printed = repr(SealedData(seed=SEED))
    assert repr(SEED) not in printed
    assert SEED.hex() not in printed
    for svm_id, nonce in ((b"", NONCE), (SVM_ID, NONCE + b"\0")):
        with pytest.raises(OperandError, match="E_PAY_LIMIT"):
            build_payload(SEED, INTEGRITY, svm_id=svm_id, build_nonce=nonce)


def test_inserting_changes_one_placeholder_and_nothing_else() -> None:
    raw = operand_bytes("several.bin") + b"what follows"
    changed = insert_slot(raw, lockbox(7))
    place = range(32 + 4 * 2048, 32 + 5 * 2048)
    assert changed[: place.start] == raw[: place.start]
    assert changed[place.stop :] == raw[place.stop :]
    assert changed[place.start : place.stop] == lockbox(7).to_bytes()
    assert remove_slot(changed, 4) == raw


def test_replacing_finds_the_machine() -> None:
    raw = insert_slot(operand_bytes("several.bin"), lockbox(7))
    other = replace(lockbox(7), body=b"\1\0" + b"\xa5" * 256)
    changed = replace_slot(raw, other)
    assert EsmOperand.from_bytes(changed).slots[4] == other
    assert replace_slot(changed, lockbox(7)) == raw
    assert refusal(replace_slot, raw, lockbox(8)) == "E_NO_SLOT"
    assert refusal(replace_slot, raw, Slot(kind=2, body=LOCKBOX)) == "E_NO_SLOT"


def test_edits_that_are_refused() -> None:
    raw = operand_bytes("placeholder.bin")
    for number in range(1, 5):
        raw = insert_slot(raw, lockbox(number))
    assert refusal(insert_slot, raw, lockbox(5)) == "E_LIMIT"
    assert refusal(put_slot, raw, 0, lockbox(2)) == "E_SLOT_DUP"
    assert refusal(put_slot, raw, 4, Slot()) == "E_LIMIT"
    assert refusal(put_slot, raw, -1, Slot()) == "E_LIMIT"
    assert refusal(put_slot, raw, 0, Slot(kind=2, body=b"")) == "E_SLOT_BODY"
    assert refusal(remove_slot, b"", 0) == "E_SHORT"
    assert EsmOperand.from_bytes(raw).payload == payload()


@pytest.mark.parametrize("size", [0, 4, 32 - 1])
def test_a_guest_digest_is_compared_whole(size: int) -> None:
    """Not only its beginning, and not only its length."""
    wrong = bytearray(INTEGRITY.parts[1].digest)
    wrong[size] ^= 1
    guest = dict(INTEGRITY.parts)
    guest[1] = Measured(length=guest[1].length, digest=bytes(wrong))
    assert INTEGRITY.differing(guest) == (1,)


def test_unknown_part_that_need_not_be_understood_is_kept() -> None:
    name = "int-unknown-optional.bin"
    opened = open_operand(EsmOperand.from_bytes(operand_bytes(name)), SEALED_DATA)
    ((kind, rest),) = opened.integrity.unknown
    assert kind >= 5
    assert len(rest) == 76
    assert IntegrityBlock.from_bytes(opened.integrity.to_bytes()) == opened.integrity
