"""Which slot opens on which machine; a private key stands for the machine's TPM."""

from __future__ import annotations

from typing import Any

import pytest

from esm_kit import SEALED_DATA, V2, operand_bytes
from operand_kit import unsealed
from pefstack.images.esm_operand import EsmOperand
from pefstack.images.esm_operand_open import open_operand
from pefstack.images.esm_refusal import OperandError


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
