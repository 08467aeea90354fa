"""The pages about ESM operand and ESM blob say what the code does."""

from __future__ import annotations

import argparse
import importlib
import re
from collections.abc import Iterator

import pytest

from esm_kit import PAYLOAD, operand_bytes, with_bytes
from pefstack.images.esm_blob_refusal import BlobRefusal
from pefstack.images.esm_operand import EsmOperand
from pefstack.images.esm_operand_open import open_operand
from pefstack.images.esm_refusal import OperandError, OperandRefusal
from pefstack.tools.cli import verb_esm
from pefstack.tools.esm.config import ENTRIES
from test_docs import column, section, shown, table

OPERAND = "formats/esm_operand.md"
GOOD = operand_bytes()
PLACES = [
    ("Header", 0, 0, 32),
    ("Slot", 0, 32, 2048),
    ("Payload header", 0, PAYLOAD, 64),
]
CLEAR = operand_bytes("clear-integrity.bin")
INTEGRITY = CLEAR.index(b"INTG")


@pytest.mark.parametrize(
    ("heading", "number", "size"),
    [
        ("Header", 0, 32),
        ("Slot", 0, 2048),
        ("Payload header", 0, 64),
        ("Table entry", 0, 64),
        ("Integrity block", 0, 16),
        ("Integrity block", 1, 80),
    ],
)
def test_fields_follow_one_another(heading: str, number: int, size: int) -> None:
    at = 0
    for row in table(OPERAND, heading, number):
        assert int(row["offset"]) == at, row["name"]
        at += int(row["size"])
    assert at == size


@pytest.mark.parametrize(("heading", "number", "start"), [p[:3] for p in PLACES])
def test_numbers_are_those_of_the_bytes(heading: str, number: int, start: int) -> None:
    """Where a field has one value, it stands there in another program's operand."""
    seen = 0
    for row in table(OPERAND, heading, number):
        at, size, value = int(row["offset"]), int(row["size"]), row["value"]
        raw = GOOD[start + at : start + at + size]
        if re.fullmatch(r"[A-Z]{4}", value):
            assert raw == value.encode()
            seen += 1
        elif found := re.fullmatch(r"(\d+)(, [A-Z].*)?", value):
            assert int.from_bytes(raw, "big") == int(found[1]), row["name"]
            seen += 1
    assert seen >= 1


@pytest.mark.parametrize(("heading", "number", "start"), [p[:3] for p in PLACES[::2]])
def test_every_fixed_field_is_checked(heading: str, number: int, start: int) -> None:
    """A field that may have one value only is refused with another."""
    for row in table(OPERAND, heading, number):
        value, at = row["value"], start + int(row["offset"]) + int(row["size"]) - 1
        if re.match(r"([A-Z]{4}|\d+)(, |$)", value):
            changed = with_bytes(GOOD, at, bytes((GOOD[at] ^ 0x40,)))
            with pytest.raises(OperandError):
                EsmOperand.from_bytes(changed)


def test_parts_of_the_integrity_block() -> None:
    rows = table(OPERAND, "Integrity block")
    assert rows[0]["value"].encode() == CLEAR[INTEGRITY : INTEGRITY + 4]
    at = INTEGRITY + int(rows[3]["offset"])
    version = int.from_bytes(CLEAR[at : at + 4], "big")
    sealed = bytes.fromhex(
        "e26690fe55171545423cf20ddb7119e7e48f47ba9e2a59b58c95a73154351765"
    )
    opened = open_operand(EsmOperand.from_bytes(CLEAR), sealed + bytes(8))
    assert opened.integrity.security_version == version


def test_refusals_of_an_operand_in_their_order() -> None:
    text = section(OPERAND, "Refusals")
    rows = [line for line in text.splitlines() if line.startswith("| E_")]
    named = [name for row in rows for name in re.findall(r"E_[A-Z_]+", row)]
    machine = ["E_NO_SLOT", "E_UNSEAL", "E_DIGEST"]
    order = [each.value for each in OperandRefusal if each.value not in machine]
    assert named == order + machine


def test_refusals_of_a_blob() -> None:
    rows = table("formats/esm_blob.md", "Profiles")
    assert [row["refusal"] for row in rows] == [each.value for each in BlobRefusal]


# The command line.


def options_of(commands: dict[str, str]) -> Iterator[tuple[str, str]]:
    """(option, command)."""
    for command in commands:
        parser = argparse.ArgumentParser(add_help=False)
        name = f"pefstack.tools.cli.esm.{verb_esm.module_name(command)}"
        importlib.import_module(name).configure(parser)
        for action in parser._actions:
            option, default = shown(action)
            assert not default
            assert action.help
            yield option, command


def documented(heading: str, commands: dict[str, str]) -> Iterator[tuple[str, str]]:
    for row in table("cli.md", heading):
        named = row["of"].removeprefix("all").removeprefix(" but ")
        words = named.split(", ") if named else []
        assert set(words) <= set(commands)
        if row["of"].startswith("all"):
            words = [each for each in commands if each not in words]
        yield from ((row["option"], each) for each in words)


@pytest.mark.parametrize(
    ("heading", "commands"),
    [("esm with blobs", verb_esm.BLOBS), ("esm with operands", verb_esm.OPERANDS)],
)
def test_options_of_each_command(heading: str, commands: dict[str, str]) -> None:
    assert sorted(documented(heading, commands)) == sorted(options_of(commands))


def test_commands_and_entries_of_the_yaml_file() -> None:
    commands = column(table("cli.md", "esm", 1), "command", "does")
    assert commands == [*verb_esm.COMMANDS.items()]
    rows = column(table("cli.md", "YAML file of esm make"), "entry", "needed", "may be")
    assert rows == [(k, *map(", ".join, v)) for k, v in ENTRIES.items()]
