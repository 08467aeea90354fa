"""The device tree and the log as files, read by other people's programs."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from interop import need
from pefstack import Machine
from pefstack.images.event_log import EventLog
from pefstack.images.event_log_header import SHA256
from pefstack.images.event_log_replay import replay
from pefstack.images.fdt import Fdt
from pefstack.tools.cli.app import main

Caught = pytest.CaptureFixture[str]
ALARM = "ALARM: the event log does not replay to PCR4: log "


def test_the_device_tree_is_written(tmp_path: Path, small: Machine) -> None:
    path = tmp_path / "tree.dtb"
    assert main(["boot", "small", "--quiet", "--device-tree", str(path)]) == 0
    assert path.read_bytes() == small.run().device_tree
    words = ["boot", "small", "--quiet", "--until", "hostboot_ext"]
    assert main([*words, "--device-tree", str(path)]) == 0
    assert path.read_bytes() == b""


def test_a_log_that_does_not_replay_is_said(capsys: Caught) -> None:
    machine = Machine("log-defect").run()
    assert main(["boot", "log-defect"]) == 0
    (alarm,) = [line for line in capsys.readouterr().out.splitlines() if ALARM in line]
    log = replay(EventLog.from_bytes(machine.event_log))[SHA256][4].hex()
    assert alarm == f"{ALARM}{log}, TPM {machine.pcr(4).hex()}"


@pytest.mark.parametrize(
    ("name", "differs"), [("log-defect", [4]), ("small", []), ("tpm-dead", [])]
)
def test_the_result_names_the_pcrs(
    name: str, differs: list[int], capsys: Caught
) -> None:
    main(["boot", name, "--json"])
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["detail"]["log_differs"] == differs


def dtc(*words: str, content: bytes) -> subprocess.CompletedProcess[bytes]:
    program = need("dtc", "device-tree-compiler")
    command = [program, *words]
    return subprocess.run(command, input=content, capture_output=True, check=True)


@pytest.mark.interop
@pytest.mark.parametrize("name", ["p9", "p10", "demo", "tpm-dead", "jumper-off"])
def test_dtc_reads_the_tree_without_a_warning(name: str) -> None:
    """And makes the same tree from the source text that it wrote."""
    tree = Machine(name).run().device_tree
    done = dtc("-I", "dtb", "-O", "dts", content=tree)
    assert done.stderr == b""
    again = dtc("-I", "dts", "-O", "dtb", content=done.stdout)
    assert again.stderr == b""
    assert Fdt.from_bytes(again.stdout) == Fdt.from_bytes(tree)


@pytest.mark.interop
@pytest.mark.parametrize("name", ["p9", "p10", "demo"])
def test_tpm2_eventlog_replays_pcr6_of_the_handed_over_log(
    name: str, tmp_path: Path
) -> None:
    """An extract: it stops at the short events of PCR 0 (boot-chain.md 4.1)."""
    program = need("tpm2_eventlog", "tpm2-tools")
    machine = Machine(name).run()
    log = EventLog.from_bytes(machine.event_log)
    kept = tuple(each for each in log.records if each.pcr_index == 6)
    file = tmp_path / "log"
    file.write_bytes(EventLog(header=log.header, records=kept).to_bytes())
    done = subprocess.run(
        [program, str(file)], capture_output=True, text=True, check=True
    )
    found = re.findall(r"^ +6 *: 0x([0-9a-f]+)$", done.stdout, re.MULTILINE)
    assert machine.pcr(6).hex() in found
