"""pef explain: every reading of every word, and what nobody can explain."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from cli_kit import ROOT, pef
from pefstack import Refusal
from pefstack.images.rejection import Rejection
from pefstack.tools.cli.app import main
from pefstack.tools.explaining import Reading

Caught = pytest.CaptureFixture[str]
PAGES = ROOT / "docs"
SCRATCH = "scratch register 11 (SCOM 0x50182)"

# boot-chain.md 1.3 and 1.4, written out: codes in the order of the checks
ROM = bytes.fromhex("20 21 60 22 61 62 63 65 64 90 23 70 71 80 73 72")
SBE = bytes.fromhex("20 21 60 22 66 61 62 67 63 65 64 90 23 71 70 80 74 68 72")
# boot-chain.md 3.3: step code, what the TPM was asked for, PCR
STEPS = {
    0x03: "TPM2_Startup",
    0x04: "TPM2_GetCapability",
    0x05: "TPM2_PCR_Allocate",
    0x07: "PCR6, hw-key-hash",
    0x08: "PCR1, hw-key-hash",
    0x09: "PCR6, security-state",
    0x0A: "PCR1, sbe-state",
    0x0B: "PCR0, sb-verification",
    0x0C: "PCR6, sb-verification",
    0x0D: "PCR0, sbe-firmware",
    0x0E: "PCR0, hbbl",
    0x0F: "PCR1, sbe-switches",
    **{0x10 + pcr: f"PCR{pcr}, separator" for pcr in range(8)},
    0x01: "vendor and device id",
    0x02: "locality",
    0x06: "poison",
    **dict.fromkeys(range(0x18, 0x1C), "secondary chip"),
}


def explained(capsys: Caught, word: str, code: int = 0) -> list[dict[str, Any]]:
    assert main(["explain", word, "--json"]) == code
    shown = capsys.readouterr()
    assert shown.err == ""
    answer = json.loads(shown.out)
    assert answer["word"] == word
    for each in answer["readings"]:
        assert set(each) == {field.name for field in fields(Reading)}
    found: list[dict[str, Any]] = answer["readings"]
    return found


def only(readings: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (reading,) = (each for each in readings if each["kind"] == kind)
    return reading


def order(code: int) -> dict[str, int]:
    orders = {"ROM": ROM, "SBE": SBE}
    return {who: each.index(code) + 1 for who, each in orders.items() if code in each}


@pytest.mark.parametrize("code", Rejection)
def test_a_log_word_in_all_its_spellings(code: Rejection, capsys: Caught) -> None:
    whole = f"ffffffffffff81{code:02x}"
    spellings = (f"0x{whole}", whole, whole.upper(), f"0X{whole.upper()}", whole[-4:])
    said = [only(explained(capsys, word), "log word") for word in spellings]
    assert all(each == said[0] for each in said)
    assert said[0]["name"] == code.name
    assert said[0]["order"] == order(code)
    rows = (PAGES / "stages.md").read_text()
    looked_at = said[0]["says"].removeprefix("rejected for the ")
    row = f"| 0x{code:02x} | `{code.name}` | {looked_at} | {said[0]['mend']} |"
    assert row in rows


@pytest.mark.parametrize("code", Rejection)
def test_a_status_byte_and_where_it_stands(code: Rejection, capsys: Caught) -> None:
    said = only(explained(capsys, f"{code:02X}"), "status byte")
    assert (said["name"], said["order"]) == (code.name, order(code))
    by_the_sbe = code is not Rejection.CODE_PROTECTION
    assert (f"{SCRATCH}, byte 2 (HBBL) or 3 (SBE_FW)" in said["where"]) is by_the_sbe
    assert ("the SBE does not check this" in said["where"]) is not by_the_sbe


@pytest.mark.parametrize(("code", "step"), STEPS.items())
def test_a_step_code_of_the_tpm(code: int, step: str, capsys: Caught) -> None:
    said = only(explained(capsys, f"0x{code:02x}"), "TPM step code")
    assert step in said["says"]
    assert said["where"] == f"{SCRATCH}, byte 1"


@pytest.mark.parametrize("word", ["0x0000000000000103", "103", "0103", "0x103"])
def test_the_good_log_word_is_a_response_code_too(word: str, capsys: Caught) -> None:
    said = explained(capsys, word)
    assert said[0]["kind"] == "log word"
    assert "good" in said[0]["says"]
    rest = [] if len(word) == 18 else ["TPM_RC_SEQUENCE"]
    assert [each["name"] for each in said[1:]] == rest


@pytest.mark.parametrize("word", ["0x000d617200000000", "000d6172"])
def test_the_bytes_of_scratch_register_11(word: str, capsys: Caught) -> None:
    said = explained(capsys, word)
    assert [(each["kind"], each["name"], each["where"]) for each in said] == [
        ("scratch register 11", "sbe-firmware", f"{SCRATCH}, byte 1 (TPM)"),
        ("scratch register 11", "HW_SIGNATURE", f"{SCRATCH}, byte 2 (HBBL)"),
        ("scratch register 11", "HEADER_HASH", f"{SCRATCH}, byte 3 (SBE_FW)"),
    ]


def test_a_scratch_word_with_one_unknown_byte(capsys: Caught) -> None:
    said = explained(capsys, "0x00fe0161")
    assert [each["name"] for each in said] == ["", "", "HW_SIGNATURE"]
    assert "no known step" in said[0]["says"]
    assert "no code that is known" in said[1]["says"]


def test_the_zero_byte_is_good_wherever_it_stands(capsys: Caught) -> None:
    names = {each["kind"]: each["name"] for each in explained(capsys, "00")}
    assert names == {
        "status byte": "GOOD",
        "TPM step code": "GOOD",
        "TPM response code": "TPM_RC_SUCCESS",
    }


@pytest.mark.parametrize(
    ("word", "name", "says"),
    [
        ("0x1c4", "TPM_RC_VALUE", "about parameter 1"),
        ("0000018b", "TPM_RC_HANDLE", "about handle 1"),
        ("98E", "TPM_RC_AUTH_FAIL", "about session 1"),
        ("0x0101", "TPM_RC_FAILURE", "about the command as a whole"),
    ],
)
def test_a_response_code(word: str, name: str, says: str, capsys: Caught) -> None:
    (said,) = explained(capsys, word)
    assert (said["kind"], said["name"]) == ("TPM response code", name)
    assert said["says"] == says


def test_one_number_with_two_meanings_is_explained_twice(capsys: Caught) -> None:
    said = explained(capsys, "0x90")
    assert [each["name"] for each in said] == ["SECURE_VERSION", "TPM_RC_PP"]


def refusal_rows() -> dict[str, tuple[str, ...]]:
    """docs/stages.md: refusal -> stages, meaning, what to do, without marks."""
    page = (PAGES / "stages.md").read_text().partition("## Refusals")[2]
    rows = re.findall(r"^\| `([a-z0-9-]+)` \| (.*) \| (.*) \| (.*) \|$", page, re.M)
    return {name: tuple(c.replace("`", "") for c in cells) for name, *cells in rows}


@pytest.mark.parametrize("refusal", Refusal)
def test_a_refusal_in_the_words_of_the_documentation(
    refusal: Refusal, capsys: Caught
) -> None:
    (said,) = explained(capsys, refusal.value)
    assert explained(capsys, refusal.value.upper()) == [said]
    assert (said["kind"], said["name"]) == ("refusal", refusal.value)
    stages, meaning, mend = refusal_rows()[refusal.value]
    assert said["where"] == f"stages: {stages}"
    assert said["says"] == meaning
    if refusal is Refusal.CONTAINER_REJECTED:  # the page has a table for it
        mend = "pef explain the log word"
    assert said["mend"].replace("`", "") == mend


@pytest.mark.parametrize(
    "word",
    [
        "hello",
        "",
        "0x",
        "0xg1",
        "1_0",
        "٣",
        "-1",
        "component",
        "0xffffffffffff8199",  # no such code
        "0xffffffffffff8072",  # another context
        "0x0000000000000072",  # a byte has two digits
        "072",
        "0x0000610000000001",  # the register's low word is empty
        "0x0000000000000184",  # a response code has four bytes
        "0x00fe0100",  # nothing in it is known
        "10103",
        "0xfffffffffffff8172",
        "a" * 400,
    ],
)
def test_what_nobody_can_explain(word: str, capsys: Caught) -> None:
    assert explained(capsys, word, code=1) == []
    assert main(["explain", word]) == 1
    shown = capsys.readouterr()
    first, second = shown.out.splitlines()
    assert first == f"nothing known about {word}"
    for kind in ("log word", "status byte", "step code", "scratch", "response", "ref"):
        assert kind in second


def test_text_has_what_json_has(capsys: Caught) -> None:
    for word in ("8172", "0x000d617200000000", "90", "component-id"):
        readings = explained(capsys, word)
        assert main(["explain", word]) == 0
        shown = capsys.readouterr().out.removesuffix("\n").split("\n\n")
        assert len(shown) == len(readings)
        for text, each in zip(shown, readings, strict=True):
            for name in ("kind", "name", "where", "says", "mend"):
                assert each[name] in text
            for who, number in each["order"].items():
                assert f"{who} check {number}" in text


def test_a_pipe_gets_no_colour_and_no_control_characters() -> None:
    done = pef("explain", "\x1b[31mred\n")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("nothing known about .[31mred.\n")
    assert "\x1b" not in pef("explain", "0x61").stdout


def test_wrong_use(capsys: Caught) -> None:
    for words in (["explain"], ["explain", "1", "2"], ["explain", "1", "--all"]):
        with pytest.raises(SystemExit) as left:
            main(words)
        assert left.value.code == 2
    assert "usage: pef explain" in capsys.readouterr().err


def test_documentation_names_every_key() -> None:
    page = Path(PAGES / "cli.md").read_text()
    text = page.partition("## explain")[2].partition("\n## ")[0]
    for each in fields(Reading):
        assert f"`{each.name}`" in text
