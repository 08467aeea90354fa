"""`pef tpm serve` and `pef boot --keep`: what they print, how they end."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cli_kit import PEF, SECONDS, pef, surroundings
from free_ports import free_ports
from pefstack import Machine
from pefstack.tools.cli.app import main
from tpm_kit import SHA256, command, rc_of, selections
from tpm_server_kit import Client

Caught = pytest.CaptureFixture[str]
STARTUP_CLEAR = bytes.fromhex("80010000000c000001440000")
TCTI = re.compile(r"TPM2TOOLS_TCTI=(mssim|swtpm):host=([^,]+),port=(\d+)")


@contextmanager
def running(
    *words: str, lines: int
) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """`pef WORDS` and its first lines; ended hard if the test did not."""
    child = subprocess.Popen(
        [*PEF, *words],
        env=surroundings(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert child.stdout is not None
    assert child.stderr is not None
    try:
        yield child, [child.stdout.readline().rstrip("\n") for _ in range(lines)]
    finally:
        child.kill()
        child.wait(SECONDS)
        child.stdout.close()
        child.stderr.close()


def ended(child: subprocess.Popen[str], number: int) -> tuple[int, str, str]:
    child.send_signal(number)
    out, err = child.communicate(timeout=SECONDS)
    return child.returncode, out, err


def tcti_port(line: str, protocol: str) -> int:
    found = TCTI.fullmatch(line)
    assert found is not None
    assert found[1] == protocol
    return int(found[3])


def pcr6(port: int) -> str:
    with Client(port) as data:
        select = (1 << 6).to_bytes(3, "little").hex()
        data.send(command(0x17E, selections((SHA256, select))))
        return data.response()[30:].hex()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_prints_where_and_ends_in_order(number: int) -> None:
    with running("tpm", "serve", "--startup-clear", lines=4) as (child, lines):
        data = tcti_port(lines[2], "swtpm")
        commands = tcti_port(lines[3], "mssim")
        assert lines[0] == f"swtpm  127.0.0.1 ports {data} and {data + 1}"
        assert lines[1] == f"mssim  127.0.0.1 ports {commands} and {commands + 1}"
        assert pcr6(data) == "00" * 32
        with Client(commands + 1) as platform:  # still there at the end
            assert platform.ask("00000001", 4) == "00000000"
            assert ended(child, number) == (0, "", "")
            assert platform.is_closed()


def test_one_protocol_on_a_given_port() -> None:
    port = next(free_ports())
    words = ("tpm", "serve", "--mssim", str(port))
    with running(*words, lines=2) as (_, lines):
        assert lines == [
            f"mssim  127.0.0.1 ports {port} and {port + 1}",
            f"TPM2TOOLS_TCTI=mssim:host=127.0.0.1,port={port}",
        ]
        with Client(port) as client:  # not started: nobody asked for it
            raw = bytes.fromhex("80010000000a00000181")
            client.send(bytes.fromhex("0000000800") + len(raw).to_bytes(4, "big") + raw)
            assert client.receive(18)[4:14].hex() == "80010000000a00000100"
        done = pef(*words)
        assert done.returncode == 2
        assert re.fullmatch(
            rf"pef: 127\.0\.0\.1, port {port}: .*in use.*\n", done.stderr
        )


def test_serve_as_json() -> None:
    words = ("tpm", "serve", "--swtpm", "0", "--json", "--host", "localhost")
    with running(*words, lines=1) as (child, lines):
        shown = json.loads(lines[0])
        host, port = shown["swtpm"]["host"], shown["swtpm"]["port"]
        assert host in ("127.0.0.1", "::1")
        tcti = f"swtpm:host={host},port={port}"
        assert shown == {"swtpm": {"host": host, "port": port, "tcti": tcti}}
        assert ended(child, signal.SIGINT) == (0, "", "")


def test_a_state_file_from_run_to_run(tmp_path: Path) -> None:
    path = tmp_path / "tpm.state"
    words = ("tpm", "serve", "--startup-clear", "--state", str(path), "--swtpm", "0")
    counts = []
    for _ in range(2):
        with running(*words, lines=2) as (child, lines):
            with Client(tcti_port(lines[1], "swtpm")) as data:
                answer = data.send("80010000000a00000181").response()
            counts.append(int.from_bytes(answer[26:30], "big"))
            second = pef(*words)
            assert second.returncode == 2
            assert "another TPM server uses it" in second.stderr
            child.kill()
            child.wait(SECONDS)
    assert counts == [1, 2]
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    broken = pef(*words)
    assert broken.returncode == 3
    assert "SHA-256" in broken.stderr
    assert path.read_bytes() == raw


def test_transient_slots_are_told() -> None:
    words = ("tpm", "serve", "--startup-clear", "--swtpm", "0")
    for given, expected in (((), 3), (("--transient-slots", "64"), 64)):
        with running(*words, *given, lines=2) as (_, lines):
            with Client(tcti_port(lines[1], "swtpm")) as data:
                question = "8001000000160000017a000000060000010e00000001"
                answer = data.send(question).response()
            assert answer[-8:] == bytes.fromhex("0000010e") + expected.to_bytes(
                4, "big"
            )


@pytest.mark.parametrize(
    "words",
    [
        ["tpm"],
        ["tpm", "ask"],
        ["tpm", "serve", "--mssim", "65535"],
        ["tpm", "serve", "--mssim", "-1"],
        ["tpm", "serve", "--mssim", "x"],
        ["tpm", "serve", "--transient-slots", "2"],
        ["tpm", "serve", "--transient-slots", "257"],
        ["boot", "--mssim", "70000"],
    ],
)
def test_wrong_use(words: list[str], capsys: Caught) -> None:
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["tpm", "serve", "--host", "no such host"], "no such host"),
        (["tpm", "serve", "--host", "192.0.2.1"], "192.0.2.1, port 0"),
        (["tpm", "serve", "--state", "/no/such/folder/x"], "/no/such/folder"),
        (["boot", "small", "--mssim", "0"], "go with --keep"),
        (["boot", "small", "--keep", "--tpm", "swtpm:x:1"], "--keep serves"),
        (["boot", "small", "--tpm", "nowhere"], "expected one of"),
        (["boot", "small", "--tpm", "dev:/no/such/device"], "No such file"),
        (["boot", "small", "--quiet", "--tpm", "swtpm:127.0.0.1:1"], "refused"),
    ],
)
def test_what_cannot_be_done_is_wrong_use(
    words: list[str], says: str, capsys: Caught
) -> None:
    assert main(words) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert says in shown.err


def test_a_wider_host_is_warned_about() -> None:
    words = ("tpm", "serve", "--swtpm", "0", "--host", "0.0.0.0")
    with running(*words, lines=2) as (child, lines):
        assert "host=localhost," in lines[1]
        code, _, err = ended(child, signal.SIGINT)
    assert (code, err) == (0, "pef: others on the network can reach this TPM\n")


def test_the_booted_machine_stays_up(booted: Machine) -> None:
    plain = pef("boot", "small").stdout.splitlines()
    words = ("boot", "small", "--keep")
    with running(*words, lines=len(plain) + 4) as (child, lines):
        assert lines[:-4] == plain
        assert TCTI.fullmatch(lines[-1])
        assert lines[-1].startswith("TPM2TOOLS_TCTI=mssim:")
        assert pcr6(tcti_port(lines[-2], "swtpm")) == booted.pcr(6).hex()
        assert ended(child, signal.SIGINT) == (0, "", "")


def test_keep_as_json(booted: Machine) -> None:
    plain = pef("boot", "small", "--json").stdout.splitlines()
    words = ("boot", "small", "--keep", "--json", "--swtpm", "0")
    with running(*words, lines=len(plain) + 1) as (child, lines):
        assert lines[:-1] == plain
        event: dict[str, Any] = json.loads(lines[-1])
        assert (event["source"], event["kind"]) == ("machine", "serve")
        assert event["seq"] == json.loads(lines[-2])["seq"] + 1
        assert [*event["detail"]] == ["swtpm"]
        assert pcr6(event["detail"]["swtpm"]["port"]) == booted.pcr(6).hex()
        assert ended(child, signal.SIGTERM) == (0, "", "")


def test_after_a_refusal_the_tpm_can_be_asked_too() -> None:
    words = ("boot", "wrong-key", "--quiet", "--keep", "--swtpm", "0")
    with running(*words, lines=6) as (child, lines):
        port = tcti_port(lines[-1], "swtpm")
        assert lines[0] == "hostboot_loader refused: container-rejected"
        assert pcr6(port) != "00" * 32
        code, _, err = ended(child, signal.SIGINT)
    assert (code, err) == (4, "")


def test_the_served_tpm_goes_its_own_way() -> None:
    """Its Startup state is the machine's: no second Startup, power can be taken."""
    with running("boot", "small", "--keep", "--quiet", lines=4) as (_, lines):
        port = tcti_port(lines[-2], "swtpm")
        with Client(port) as data, Client(port + 1) as control:
            assert rc_of(data.send(STARTUP_CLEAR).response()) == 0x100
            control.ask("0000000200000000", 4)
            assert rc_of(data.send(STARTUP_CLEAR).response()) == 0
        assert pcr6(port) == "00" * 32


def test_a_boot_on_another_tpm_is_shown(capsys: Caught, booted: Machine) -> None:
    with running("tpm", "serve", "--swtpm", "0", lines=2) as (_, lines):
        address = f"swtpm:127.0.0.1:{tcti_port(lines[1], 'swtpm')}"
        assert main(["boot", "small", "--tpm", address]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[2] == "the TPM is another's: what it holds is asked for at the end"
    assert any(line.endswith(" -> sent") for line in shown)
    assert not any("no SHA-256 bank" in line for line in shown)
    assert f"PCR6   {booted.pcr(6).hex()}  policy" in shown


def test_nothing_is_left_open() -> None:
    before = len([*Path("/proc/self/fd").iterdir()])
    with running("tpm", "serve", lines=4) as (child, _):
        os.kill(child.pid, signal.SIGINT)
        child.wait(SECONDS)
    assert len([*Path("/proc/self/fd").iterdir()]) <= before
