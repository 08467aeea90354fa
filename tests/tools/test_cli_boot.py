"""`pef boot`: what it prints, as text and as JSON, and what it writes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pefstack import Machine
from pefstack.hw.tpm import client
from pefstack.hw.tpm.codes import TpmAlgId
from pefstack.images.event_log import EventLog
from pefstack.images.event_log_replay import replay
from pefstack.tools.cli.app import main
from pefstack.tools.machine_file import BUILT_IN

Caught = pytest.CaptureFixture[str]
HEX = "[0-9a-f]{64}"
EXTEND = re.compile(rf"  PCR(\d+) +(\S.*?) +({HEX}) -> ({HEX})")
STAGES = [
    "sbe_immutable    verified SBE_FW -> sbe_mutable",
    "sbe_mutable      verified SBE_FW, HBBL -> hostboot_loader",
    "hostboot_loader  verified HBB -> hostboot_init",
    "hostboot_init    verified HBI -> hostboot_ext",
    "hostboot_ext     verified PAYLOAD -> opal",
    "opal             end of the chain",
]


def shown(capsys: Caught, *words: str, code: int = 0) -> list[str]:
    assert main(["boot", *words]) == code
    output = capsys.readouterr()
    assert output.err == ""
    return output.out.splitlines()


def parsed(lines: list[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines]


def test_one_line_a_stage_and_one_an_extend(capsys: Caught, booted: Machine) -> None:
    lines = shown(capsys, "small")
    assert lines[0] == "small: profile patent, security on, PEF on"
    assert [line for line in lines[2:] if line[:1] not in (" ", "P", "")] == STAGES
    extends = [found.groups() for line in lines if (found := EXTEND.fullmatch(line))]
    assert len(extends) == len([line for line in lines if line.startswith("  ")])
    measured = [each.detail for each in booted.journal if each.kind == "measure"]
    values = [e.detail["value"] for e in booted.journal if e.kind == "extend"]
    expected = [
        (str(each["pcr"]), each["text"], each["digest"], value)
        for each, value in zip(measured, values, strict=True)
    ]
    assert extends == expected


def test_the_table_of_pcrs(capsys: Caught, booted: Machine) -> None:
    lines = shown(capsys, "small")
    table = lines[lines.index("") + 1 :]
    values = booted.pcrs(range(8))
    expected = [f"PCR{index}   {value.hex()}" for index, value in values.items()]
    expected[6] += "  policy"
    assert table == expected


def test_a_pipe_gets_neither_colour_nor_control_characters(capsys: Caught) -> None:
    for name in ("small", "wrong-key", "jumper-off"):
        assert main(["boot", name]) in (0, 4)
        text = capsys.readouterr().out
        assert text.endswith("\n")
        assert all(line.isprintable() and line == line.rstrip() for line in lines(text))


def lines(text: str) -> list[str]:
    return text.split("\n")[:-1]


@pytest.mark.parametrize(
    ("name", "reason", "log", "mend"),
    [
        (
            "wrong-key",
            "HBB: hash of the hardware keys (code 0x60",
            "0xffffffffffff8160",
            "sign the container again with the keys of this machine",
        ),
        (
            "tampered-hbb",
            "HBB: hash of the payload (code 0x72",
            "0xffffffffffff8172",
            "restore the payload, or sign the changed one",
        ),
    ],
)
def test_a_refusal_says_stage_check_log_word_and_what_to_do(
    name: str, reason: str, log: str, mend: str, capsys: Caught
) -> None:
    text = shown(capsys, name, code=4)
    last = text[-4:]
    assert "hostboot_loader  rejected HBB -> refused" in text
    assert last[0] == "hostboot_loader refused: container-rejected"
    assert last[1].startswith(f"  reason    {reason}")
    assert last[2:] == [f"  log word  {log}", f"  to do     {mend}"]
    assert shown(capsys, name, "--quiet", code=4) == last


def test_an_alarm_where_nobody_enforced(capsys: Caught) -> None:
    text = shown(capsys, "jumper-off")
    assert "hostboot_init    rejected HBI -> hostboot_ext" in text
    (alarm,) = (line for line in text if line.startswith("ALARM"))
    assert alarm.startswith("ALARM: hostboot_init went on: HBI: hash of the payload")


def test_quiet_says_nothing_good(capsys: Caught) -> None:
    assert shown(capsys, "small", "--quiet") == []


def test_json_lines_are_the_journal_and_the_result(
    capsys: Caught, booted: Machine
) -> None:
    *events, result = parsed(shown(capsys, "small", "--json"))
    journal = list(booted.journal)
    assert [each["seq"] for each in events] == list(range(len(journal)))
    assert [(each["source"], each["kind"], each["detail"]) for each in events] == [
        (each.source, each.kind, each.detail) for each in journal
    ]
    assert (result["source"], result["kind"]) == ("machine", "result")
    assert result["seq"] == len(journal)
    assert result["detail"]["booted"] is True
    assert result["detail"]["next"] is None
    pcrs = {str(index): value.hex() for index, value in booted.pcrs().items()}
    assert result["detail"]["sha256"] == pcrs


def test_json_of_a_refusal(capsys: Caught) -> None:
    *_, failure, result = parsed(shown(capsys, "wrong-key", "--json", code=4))
    assert failure["kind"] == "boot-failure"
    assert failure["detail"]["log"] == "0xffffffffffff8160"
    assert result["detail"]["booted"] is False


def test_until_a_stage(capsys: Caught) -> None:
    text = shown(capsys, "small", "--until", "hostboot_loader")
    assert [line for line in text[2:] if line[:1] in ("s", "h", "o")] == STAGES[:3]
    *_, result = parsed(shown(capsys, "small", "--until", "sbe_mutable", "--json"))
    assert result["detail"]["next"] == "hostboot_loader"


def test_settings_one_over_the_other(capsys: Caught) -> None:
    words = ["--set", "machine.chip.smd=false", "--set", "machine.chip.smd=true"]
    assert shown(capsys, "small", *words)[0].endswith("security off (jumper), PEF on")
    words = ["--set", "machine.chip.pef-enable=false", "--set", "name=mine"]
    assert shown(capsys, "small", *words)[0].startswith("mine: profile patent")


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["none"], "no machine 'none'; there are: backup-tpm, demo,"),
        (["none.toml"], "none.toml: no such machine file"),
        (["small", "--set", "machine"], "--set machine: expected KEY=VALUE"),
        (["small", "--set", "a=1"], "small.toml: a: no such key"),
        (["small", "--set", "machine.a=1"], "small.toml: machine.a: no such setting"),
        (["small", "--set", "machine.chip.pvr=-1"], "machine.chip.pvr: found 0x-1"),
        (["small", "--event-log", "/none/x"], "/none/x: No such file or directory"),
    ],
)
def test_wrong_use_is_2_in_one_line(
    words: list[str], problem: str, capsys: Caught
) -> None:
    assert main(["boot", *words, "--quiet"]) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("pef: ")
    assert output.err.count("\n") == 1
    assert problem in output.err


def test_malformed_input_is_3(tmp_path: Path, capsys: Caught) -> None:
    for name in ("hw_key_a", "hw_key_b", "hw_key_c", "sw_key_p"):
        (tmp_path / f"{name}.key").write_text("no key")
    assert main(["boot", "small", "--set", f"image.keys.file={tmp_path}"]) == 3
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("pef: private key: hw_key_a.key, at 0x0: found")


def test_the_event_log_is_written_and_replays(tmp_path: Path, capsys: Caught) -> None:
    path = tmp_path / "boot.log"
    lines = shown(capsys, "small", "--event-log", str(path), "--json")
    pcrs = parsed(lines)[-1]["detail"]["sha256"]
    log = EventLog.from_bytes(path.read_bytes())
    assert log.to_bytes() == path.read_bytes()
    values = replay(log)[TpmAlgId.SHA256]
    assert {str(n): value.hex() for n, value in values.items()} == {
        str(n): pcrs[str(n)] for n in range(8)
    }


def test_the_event_log_of_a_refused_boot(tmp_path: Path, capsys: Caught) -> None:
    path = tmp_path / "boot.log"
    shown(capsys, "wrong-key", "--quiet", "--event-log", str(path), code=4)
    assert path.read_bytes() == b""  # no stage was reached that begins one


def test_a_seed_gives_the_same_journal_twice(capsys: Caught) -> None:
    words = ["small", "--json", "--seed"]
    one = shown(capsys, *words, 'a "quoted" \U0001f600 one')
    assert shown(capsys, *words, 'a "quoted" \U0001f600 one') == one
    machines = [Machine("small", settings=[f"machine.tpm.seed={s}"]) for s in "aab"]
    question = client.get_random(16)
    drawn = [each.run().board.tpm.execute(question) for each in machines]
    assert drawn[0] == drawn[1] != drawn[2]


def test_seed_is_short_for_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[str, ...]] = []

    def opened(name: str, settings: tuple[str, ...], tpm: None, guest: bool) -> Machine:
        assert guest
        given.append(settings)
        return Machine(name, settings=settings)

    monkeypatch.setattr("pefstack.tools.cli.verb_boot.Machine", opened)
    main(["boot", "small", "--quiet", "--seed", "5", "--set", "name=x"])
    assert given == [("name=x", 'machine.tpm.seed="5"')]


def test_the_list_of_machines(capsys: Caught) -> None:
    names = sorted(path.stem for path in BUILT_IN.glob("*.toml"))
    text = shown(capsys, "--list")
    assert [line for line in text if line and line[0] != " "] == names
    rows = parsed(shown(capsys, "--list", "--json"))
    assert [row["name"] for row in rows] == names
    assert all(len(row["about"]) > 40 for row in rows)


def test_without_a_word_the_demonstration_boots(capsys: Caught) -> None:
    assert shown(capsys)[0].startswith("demo: profile patent")


def test_a_tpm_without_the_bank_is_told(capsys: Caught) -> None:
    words = ["small", "--set", 'machine.tpm.allocated=["sha1"]']
    text = shown(capsys, *words)
    assert text[-1].startswith("no PCR to show: the TPM has no SHA-256 bank, was")
    assert [line for line in text if line.endswith("-> no SHA-256 bank")]
    assert parsed(shown(capsys, *words, "--json"))[-1]["detail"]["sha256"] == {}


def test_a_tpm_that_refuses_is_shown(capsys: Caught) -> None:
    text = shown(capsys, "small", "--set", "machine.tpm.dies-at=3", code=4)
    assert text[3].endswith("-> refused")
    assert "sbe_immutable refused: tpm-refused" in text


def test_a_refusal_before_the_tpm_starts(capsys: Caught) -> None:
    words = ["small", "--set", "machine.fuses.signing-mode=1"]
    text = shown(capsys, *words, code=4)
    assert text[2] == "sbe_immutable    -> refused"
    reasons = "the TPM has no SHA-256 bank, was not started, or is dead"
    assert f"no PCR to show: {reasons}" in text
    assert "sbe_immutable refused: signing-mode" in text
    *_, result = parsed(shown(capsys, *words, "--json", code=4))
    assert (result["detail"]["booted"], result["detail"]["sha256"]) == (False, {})


def test_corrected_words_are_shown(capsys: Caught, tmp_path: Path) -> None:
    assert main(["build", "small", "-o", str(tmp_path)]) == 0
    flash = bytearray((tmp_path / "flash.bin").read_bytes())
    flash[0x10000 + 9 * 0x300] ^= 4
    (tmp_path / "flash.bin").write_bytes(flash)
    capsys.readouterr()
    text = shown(capsys, str(tmp_path))
    place = text.index("hostboot_loader  verified HBB -> hostboot_init")
    assert text[place + 1] == ("  flash  ecc-corrected: 1 words, the first at 0x11b00")


def test_boots_with_the_power_off_in_between(capsys: Caught) -> None:
    first = shown(capsys, "key-transition")
    assert any(line.endswith("shutdown: key transition complete") for line in first)
    both = shown(capsys, "key-transition", "--boots", "2", code=4)
    assert both[: len(first)] == first
    assert "hostboot_loader refused: container-rejected" in both
    heads = [line for line in both if line.startswith("key-transition: ")]
    assert heads == ["key-transition: profile patent, security on, PEF on"] * 2


def test_boots_with_the_memory_kept(capsys: Caught) -> None:
    words = "--boots", "2", "--preserve-memory"
    lines = shown(capsys, "small", *words)
    heads = [line for line in lines if line.startswith("small: ")]
    kept = "security on as before (memory-preserving IPL)"
    assert heads == [
        "small: profile patent, security on, PEF on",
        f"small: profile patent, {kept}, PEF on",
    ]
    off = shown(capsys, "jumper-off", *words)
    assert "security off as before (memory-preserving IPL)" in "".join(off)
    alarms = [line for line in off if line.startswith("ALARM")]
    assert len(alarms) == 2  # one for each boot


def test_json_has_a_result_for_each_boot(capsys: Caught) -> None:
    events = parsed(shown(capsys, "key-transition", "--json", "--boots", "2", code=4))
    results = [each["detail"] for each in events if each["kind"] == "result"]
    assert [each["booted"] for each in results] == [False, False]
    assert [each["next"] for each in results] == [None, None]
    assert [each["kind"] for each in events].count("power-on") == 2
    events = parsed(shown(capsys, "lock-in", "--json", "--boots", "2"))
    results = [each["detail"] for each in events if each["kind"] == "result"]
    assert [each["booted"] for each in results] == [True, True]


@pytest.mark.parametrize("count", ["0", "-1", "1001", "x", "1" * 30, "²"])
def test_a_number_of_boots_that_is_none(count: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["boot", "small", f"--boots={count}"])
    assert caught.value.code == 2


def test_updates_and_the_override_are_shown(capsys: Caught) -> None:
    lines = shown(capsys, "lock-in")
    assert any("minimum secure version 2" in line for line in lines)
    keys = 'image.flash.partition.SBE.sbe-image.keys.seed="else"'
    lines = shown(capsys, "lock-in", "--set", keys)
    assert any("SBE not updated: hash of the hardware keys" in line for line in lines)
    lines = shown(capsys, "lab-override")
    assert any("security OFF by the lab override" in line for line in lines)
    lines = shown(capsys, "lab-override", "--set", "machine.chip.smd=true")
    assert not any("lab override" in line for line in lines)
