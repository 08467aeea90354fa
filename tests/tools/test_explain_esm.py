"""`pef explain` knows every refusal of UV_ESM, and the steps where it happens."""

from __future__ import annotations

import pytest

from esm_case_kit import Case
from esm_refusals import CASES, TERMINATED
from pefstack.firmware.ultravisor.esm_refusal import EsmRefusal
from pefstack.images.esm_blob_refusal import BlobRefusal
from pefstack.images.esm_refusal import OperandRefusal
from pefstack.tools.cli.app import main
from pefstack.tools.esm_words import SAYS

NAMES = [*map(str, (*EsmRefusal, *OperandRefusal, *BlobRefusal))]


def steps_of(text: str) -> set[int]:
    if " to " in text:
        first, last = map(int, text.split(" to "))
        return {*range(first, last + 1)}
    return {int(each) for each in text.split(", ")}


def test_every_refusal_has_words() -> None:
    assert [*map(str, SAYS)] == NAMES


def named(case: Case) -> str:
    return f"{case.step}-{case.name}"


@pytest.mark.parametrize("case", [*CASES, *TERMINATED], ids=named)
def test_the_steps_are_those_where_it_happens(case: Case) -> None:
    assert case.step in steps_of(SAYS[case.name][0])


@pytest.mark.parametrize("name", NAMES)
def test_explained_with_what_to_do(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for word in (name, name.lower()):
        assert main(["explain", word]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == f"refusal of UV_ESM {name}"
        assert [line.split()[0] for line in lines[1:]] == ["where", "says", "to"]
