"""ESM operands of another program, and every refusal by name."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esm_kit import PAYLOAD, SEALED_DATA, V2, flipped, operand_bytes, with_bytes
from pefstack.images.esm_operand import EsmOperand
from pefstack.images.esm_operand_open import open_operand
from pefstack.images.esm_operand_payload import PayloadHeader
from pefstack.images.esm_operand_slot import Slot
from pefstack.images.esm_refusal import OperandError, OperandRefusal

GOOD = operand_bytes()
PAYLOAD_CHECKS = list(OperandRefusal).index(OperandRefusal.NO_SLOT)


def verdict(raw: bytes, sealed_data: bytes = SEALED_DATA) -> str:
    try:
        open_operand(EsmOperand.from_bytes(raw), sealed_data)
    except OperandError as error:
        return error.refusal.value
    return "OK"


@pytest.mark.parametrize(("name", "expected"), V2["verdicts"].items())
def test_verdict_of_another_program(name: str, expected: str) -> None:
    assert verdict(operand_bytes(name)) == expected


@pytest.mark.parametrize("name", V2["verdicts"])
def test_what_needs_no_key_is_found_without(name: str) -> None:
    """Without a key the verdict is the same, as far as it is about the bytes alone."""
    expected = V2["verdicts"][name]
    keyless = [each.value for each in OperandRefusal][:PAYLOAD_CHECKS]
    if expected in keyless:
        with pytest.raises(OperandError) as caught:
            EsmOperand.from_bytes(operand_bytes(name))
        assert caught.value.refusal.value == expected
    else:
        EsmOperand.from_bytes(operand_bytes(name))


@pytest.mark.parametrize("case", V2["sealed_data_cases_on_good"])
def test_sealed_data(case: dict[str, str]) -> None:
    assert verdict(GOOD, bytes.fromhex(case["sealed_data"])) == case["verdict"]


def test_every_refusal_but_those_of_the_machine_is_in_the_vectors() -> None:
    cases = V2["sealed_data_cases_on_good"]
    seen = {*V2["verdicts"].values(), *(case["verdict"] for case in cases)}
    machine = {"E_NO_SLOT", "E_UNSEAL", "E_DIGEST"}
    assert seen - {"OK"} == {each.value for each in OperandRefusal} - machine


@pytest.mark.parametrize("name", ["good.bin", "several.bin", "slots64.bin"])
def test_written_as_it_was_read(name: str) -> None:
    raw = operand_bytes(name)
    assert EsmOperand.from_bytes(raw).to_bytes() == raw


def test_contents() -> None:
    opened = open_operand(EsmOperand.from_bytes(GOOD), SEALED_DATA)
    assert opened.header.svm_id.hex() == V2["svm_id"]
    assert opened.header.build_nonce.hex() == V2["build_nonce"]
    assert opened.integrity.security_version == V2["security_version"]
    found = [(each.type, each.name, each.content.hex()) for each in opened.secrets]
    assert found == [tuple(each) for each in V2["blocks"][1:]]
    assert opened.integrity.to_bytes().hex() == V2["blocks"][0][2]
    secret = opened.secret("rootd")
    assert secret is not None
    assert secret.content == b"root-disk-passphrase-made-up"
    assert opened.secret("nope") is None


def test_secrets_are_not_printed() -> None:
    opened = open_operand(EsmOperand.from_bytes(GOOD), SEALED_DATA)
    assert "passphrase-made" not in repr(opened)
    assert "rootd" in repr(opened)


def test_an_error_survives_pickling_and_names_itself() -> None:
    with pytest.raises(OperandError) as caught:
        EsmOperand.from_bytes(flipped(GOOD, 23))
    copy = pickle.loads(pickle.dumps(caught.value))
    assert str(copy) == str(caught.value)
    assert copy.refusal is OperandRefusal.LIMIT
    expected = "ESM operand: slot_size, at 0x16: found 0x801, expected 0x800 (E_LIMIT)"
    assert str(copy) == expected


HEADER_FIELDS = [
    (0, "E_MAGIC"),
    (5, "E_VERSION"),
    (7, "E_HEADER"),
    (31, "E_HEADER"),
    (8, "E_LIMIT"),
    (21, "E_LAYOUT"),
    (23, "E_LIMIT"),
    (15, "E_LAYOUT"),
    (19, "E_LAYOUT"),
    (32, "E_SLOT_KIND"),
    (35, "E_SLOT_FLAGS"),
    (36, "E_SLOT_USED"),
    (32 + 2047, "E_SLOT_PAD"),
    (32 + 41, "E_SLOT_BODY"),
    (PAYLOAD, "E_PAY_MAGIC"),
    (PAYLOAD + 5, "E_PAY_VERSION"),
    (PAYLOAD + 7, "E_PAY_HEADER"),
    (PAYLOAD + 11, "E_PAY_HEADER"),
    (PAYLOAD + 12, "E_PAY_LIMIT"),
    (PAYLOAD + 14, "E_PAY_LIMIT"),
    (PAYLOAD + 16, "E_ALG"),
    (PAYLOAD + 17, "E_ALG"),
    (PAYLOAD + 18, "E_ALG"),
    (PAYLOAD + 19, "E_ALG"),
    (PAYLOAD + 23, "E_PAY_HEADER"),
    (PAYLOAD + 63, "E_PAY_HEADER"),
    (PAYLOAD + 15, "E_MAC"),
    (PAYLOAD + 39, "E_MAC"),
    (PAYLOAD + 40, "E_MAC"),
    (len(GOOD) - 1, "E_MAC"),
]


@pytest.mark.parametrize(("at", "expected"), HEADER_FIELDS)
def test_one_bit_of_a_field(at: int, expected: str) -> None:
    assert verdict(flipped(GOOD, at)) == expected


def test_the_earlier_check_decides() -> None:
    """All fields wrong at once, then mended one after another."""
    order = [each.value for each in OperandRefusal]
    ranks = sorted(HEADER_FIELDS, key=lambda each: order.index(each[1]))
    raw = GOOD
    for at, _ in ranks:
        raw = flipped(raw, at)
    for at, expected in ranks:
        assert verdict(raw) == expected
        raw = flipped(raw, at)
    assert verdict(raw) == "OK"


@pytest.mark.parametrize("step", [0, 1, 2])
def test_cut_short(step: int) -> None:
    for end in range(step, len(GOOD), 97):
        expected = "E_SHORT" if end < 32 else "E_SIZE"
        assert verdict(GOOD[:end]) == expected


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255))))
def test_noise_gives_a_verdict_and_never_a_crash(
    changes: list[tuple[int, int]],
) -> None:
    raw = bytearray(GOOD)
    for at, value in changes:
        raw[at] = value
    assert verdict(bytes(raw)) in {"OK", *(each.value for each in OperandRefusal)}


@given(st.binary(max_size=300))
def test_any_bytes(raw: bytes) -> None:
    assert verdict(b"ESMO\0\2\0\x20" + raw) != "OK"


def test_bytes_behind_are_allowed_where_they_are_asked_for() -> None:
    operand, size = EsmOperand.from_prefix(GOOD + b"more")
    assert size == len(GOOD)
    assert operand == EsmOperand.from_bytes(GOOD)
    with pytest.raises(OperandError, match="E_TRAILING"):
        EsmOperand.from_bytes(GOOD + b"\0more")


def test_slot_refuses_what_it_would_not_read() -> None:
    for slot in (
        Slot(kind=3),
        Slot(kind=1),
        Slot(kind=2, body=bytes(2009)),
        Slot(machine_id=b"\1" * 32),
        Slot(machine_id=b""),
    ):
        with pytest.raises(OperandError):
            slot.to_bytes()
    with pytest.raises(OperandError):
        Slot.from_bytes(bytes(2047))


def test_payload_header_at_its_bounds() -> None:
    payload = EsmOperand.from_bytes(GOOD).payload
    header = PayloadHeader.from_prefix(payload)
    assert header.to_bytes() == payload[:64]
    longest = with_bytes(payload.ljust(64 + 64 * 64 + 64, b"\0"), 12, b"\0\x40")
    size = len(longest).to_bytes(4, "big")
    assert PayloadHeader.from_prefix(with_bytes(longest, 8, size)).block_count == 64
    size = (len(longest) - 1).to_bytes(4, "big")
    with pytest.raises(OperandError, match="E_PAY_LIMIT"):
        PayloadHeader.from_prefix(with_bytes(longest[:-1], 8, size))
