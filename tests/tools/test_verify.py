"""pef verify FILE: foreign containers, every rejection, keys, exit codes."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from cli_kit import ROOT, pef
from pefstack import Machine
from pefstack.images import ecc
from pefstack.images.rejection import Rejection
from pefstack.tools.cli.app import main
from pefstack.tools.verification.finding import Finding, Verification
from verify_kit import (
    CODE,
    GOOD,
    HASH,
    MAGIC,
    PROVOKED,
    Caught,
    behind_ecc,
    check_rejected,
    flash_of,
    provoked,
    seeprom,
    signed,
    verified,
    written,
)

VECTORS = ROOT / "tests" / "vectors" / "boot-chain" / "containers"
EXPECTED: dict[str, Any] = json.loads((VECTORS / "expected.json").read_text())
FOREIGN = [name for name in EXPECTED if "rom_verify_log_msv0" in EXPECTED[name]]


# Containers of other people.


@pytest.mark.parametrize("version", [0, 8])
@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_containers(
    name: str, version: int, tmp_path: Path, capsys: Caught
) -> None:
    log = EXPECTED[name][f"rom_verify_log_msv{version}"]
    raw = (VECTORS / name).read_bytes()
    words = ("--key-hash", "imprint", "--min-version", str(version))
    for kind, there in (("container", raw), ("container behind ECC", behind_ecc(raw))):
        path = written(tmp_path, there)
        if raw[:4] != MAGIC:  # then it is nothing that is known
            assert main(["verify", str(path), *words]) == 3
            assert "file: magic, at 0x0: found" in capsys.readouterr().err
            continue
        answer = verified(capsys, path, *words, code=int(log != GOOD))
        assert (answer["format"], answer["key_hash"]) == (kind, HASH)
        (finding,) = answer["findings"]
        assert (finding["log"], finding["good"]) == (log, log == GOOD)
        assert (finding["refusal"] == "container-rejected") is (log != GOOD)


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_containers_in_a_flash(
    name: str, small: Machine, tmp_path: Path, capsys: Caught
) -> None:
    small.flash["HBI"].write((VECTORS / name).read_bytes())
    path = written(tmp_path, flash_of(small))
    answer = verified(capsys, path, "--key-hash", HASH.upper())
    found = {each["place"]: each for each in answer["findings"]}
    assert list(found) == ["HBB", "HBI", "PAYLOAD"]
    assert found["HBB"]["good"] and found["PAYLOAD"]["good"]
    assert found["HBI"]["log"] == EXPECTED[name]["rom_verify_log_msv0"]
    assert found["HBI"]["offset"] == small.flash["HBI"].offset
    if found["HBI"]["log"] == GOOD:  # rightly signed, for another place
        assert found["HBI"]["refusal"] == "component-id"


@pytest.mark.parametrize("version", ["v2", "v3"])
def test_containers_of_a_later_version(
    version: str, tmp_path: Path, capsys: Caught
) -> None:
    path = VECTORS / "good" / f"{version}-boot-ecdsa-only.stb"
    (finding,) = verified(capsys, path, code=1)["findings"]
    assert (finding["log"], finding["found"]) == ("0xffffffffffff8121", version[1])
    assert (finding["expected"], finding["key_hash"]) == ("1", "")


# Every rejection.

SBE_ONLY = [*PROVOKED][-4:]


@pytest.mark.parametrize(
    "rejection", [each for each in PROVOKED if each not in SBE_ONLY]
)
def test_every_rejection_of_the_rom_code(
    rejection: Rejection, small: Machine, tmp_path: Path, capsys: Caught
) -> None:
    words = ("--key-hash", HASH, "--min-version", "1")
    raw = provoked(rejection) + CODE
    if rejection is Rejection.MAGIC_NUMBER:  # no file, but a partition may hold it
        small.flash["PAYLOAD"].write(raw)
        raw = flash_of(small)
    answer = verified(capsys, written(tmp_path, raw), *words, code=1)
    check_rejected(answer["findings"][-1], rejection)


@pytest.mark.parametrize(
    "rejection", [each for each in Rejection if each is not Rejection.CODE_PROTECTION]
)
def test_every_rejection_of_the_sbe(
    rejection: Rejection, tmp_path: Path, capsys: Caught
) -> None:
    path = written(tmp_path, seeprom(sbh_hbbl=provoked(rejection)))
    answer = verified(capsys, path, code=1)
    firmware, hbbl = answer["findings"]
    assert firmware["good"] and firmware["place"] == "SBE_FW"
    assert (hbbl["place"], hbbl["rules"]) == ("HBBL", "SBE")
    check_rejected(hbbl, rejection)


def test_the_list_of_rejections_is_complete() -> None:
    assert set(PROVOKED) == set(Rejection)


# Exit codes, text, JSON.


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (b"no image at all", "file: magic"),
        (b"\0" * 0x20000, "file: magic"),
        (MAGIC + bytes(4000), "secure boot container: header"),
        (ecc.encode(MAGIC + bytes(12)), "secure boot container: header"),
        (b"PART" + bytes(0x20000), "FFS"),
        (b"XIP ", "XIP"),
    ],
)
def test_what_is_no_image_is_3(
    raw: bytes, field: str, tmp_path: Path, capsys: Caught
) -> None:
    assert main(["verify", str(written(tmp_path, raw))]) == 3
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("pef: ") and field.lower() in shown.err.lower()


@pytest.mark.parametrize(
    "words",
    [
        ["x.bin", "--key-hash", "00"],
        ["x.bin", "--key-hash", "0" * 130],
        ["x.bin", "--key-hash", "0 " * 64],
        ["x.bin", "--min-version", "256"],
        ["x.bin", "--min-version", "-1"],
        ["x.bin", "--min-version", "two"],
        ["x.bin", "y.bin"],
        [],
    ],
)
def test_wrong_use_is_2(words: list[str], capsys: Caught) -> None:
    with pytest.raises(SystemExit) as left:
        main(["verify", *words])
    assert left.value.code == 2
    assert "usage: pef" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["no-such.bin", "no\0thing", "x" * 5000, "a/b", "no"])
def test_a_file_that_is_not_there_is_2(name: str, capsys: Caught) -> None:
    assert main(["verify", name]) == 2
    assert capsys.readouterr().err.startswith("pef: ")


def test_text_has_what_json_has(tmp_path: Path, capsys: Caught) -> None:
    raw = seeprom(sbh_hbbl=provoked(Rejection.SW_PAYLOAD_SIZE))
    path = written(tmp_path, raw)
    answer = verified(capsys, path, code=1)
    assert main(["verify", str(path)]) == 1
    text = capsys.readouterr().out
    for name in ("name", "format", "keys", "key_hash"):
        assert answer[name] in text
    for name, value in answer["settings"].items():
        assert f"setting {name} {value}\n" in text
    for finding in answer["findings"]:
        for name in ("place", "log", "refusal", "check", "found", "expected", "mend"):
            assert finding[name] in text
        assert f"label {finding['label']}, security version 1" in text
    assert text.endswith("1 of 2 do not verify\n")


def test_a_pipe_gets_no_colour_and_no_control_characters(tmp_path: Path) -> None:
    path = written(tmp_path, signed("\x1b[31mX\n"))
    done = pef("verify", str(path))
    assert (done.returncode, done.stderr) == (0, "")
    assert "label .[31mX., security" in done.stdout
    assert "\x1b" not in done.stdout


def test_no_verdict_is_remembered(tmp_path: Path, capsys: Caught) -> None:
    good = signed("X")
    path = written(tmp_path, good)
    verified(capsys, path, code=0)
    path.write_bytes(good[:-1] + b"?")
    verified(capsys, path, code=1)
    path.write_bytes(good)
    verified(capsys, path, code=0)


def test_every_name_is_there_and_documented(tmp_path: Path, capsys: Caught) -> None:
    answer = verified(capsys, written(tmp_path, signed("X")))
    assert set(answer) == {each.name for each in fields(Verification)}
    assert set(answer["findings"][0]) == {each.name for each in fields(Finding)}
    page = (ROOT / "docs" / "cli.md").read_text()
    text = page.partition("## verify")[2].partition("\n## ")[0]
    for each in (*fields(Verification), *fields(Finding)):
        assert f"`{each.name}`" in text
