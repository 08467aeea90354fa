"""A VM of one's own in a built machine, by the commands that a user has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pefstack.hw.tpm.persistence import saved_banks
from pefstack.hw.tpm.tagged import encode
from pefstack.images.cpio import CpioEntry, write_archive
from pefstack.images.errors import FormatError
from pefstack.tools.cli.app import main
from pefstack.tools.tpm_server.state_file import unpacked

LINE = "svm=on quiet"
KERNEL = bytes.fromhex("00000048") + bytes(range(256)) * 400
Caught = pytest.CaptureFixture[str]


def pef(*words: str | Path, code: int = 0) -> None:
    assert main([str(word) for word in words]) == code


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vmlinux").write_bytes(KERNEL)
    archive = write_archive([CpioEntry(name="init", data=b"#!/bin/sh\n")])
    (tmp_path / "initramfs.img").write_bytes(archive)
    (tmp_path / "disk.key").write_bytes(b"open sesame")
    return tmp_path


def made_for_machine(capsys: Caught) -> None:
    """guest.img, sealed for the machine svm by what it says of itself."""
    pef("build", "svm", "-o", "machine")
    pef("boot", "svm", "--json")
    last = capsys.readouterr().out.splitlines()[-1]
    value = json.loads(last)["detail"]["sha256"]["6"]
    key = ("--public", "storage.pub", "--profile", "strict", "--pcr6", value)
    pef("tpm", "provision", "--state", "machine/tpm.state", *key)
    parts = ("--kernel", "vmlinux", "--initrd", "initramfs.img", "--append", LINE)
    seed = ("--new-seed", "--seed-file", "vm.seed")
    secret = ("--passphrase-file", "disk.key", "--image", "guest.img")
    pef("esm", "build", *parts, *seed, *secret)
    sealed = ("--storage-key", "storage.pub", "--pcr6", value, "--seed-file", "vm.seed")
    pef("esm", "add", "guest.img", *sealed)
    capsys.readouterr()


def test_a_vm_of_ones_own_reads_its_passphrase(files: Path, capsys: Caught) -> None:
    made_for_machine(capsys)
    own = ("--kernel", "vmlinux", "--initrd", "guest.img", "--append", LINE)
    pef("boot", "machine", *own)
    assert "  the guest read rootd, 11 bytes" in capsys.readouterr().out.splitlines()
    pef("boot", "svm", *own, "--quiet")
    pef("boot", "machine", *own[:-1], LINE + " ", "--quiet", code=1)
    pef("boot", "svm", *own, "--set", "machine.tpm.seed=other", "--quiet", code=1)
    refused = capsys.readouterr().out
    assert "found another command line" in refused
    assert "E_NO_SLOT" in refused or "E_UNSEAL" in refused
    assert "open sesame" not in refused


def test_a_state_file_says_which_banks_its_tpm_has(files: Path, capsys: Caught) -> None:
    pef("build", "svm", "-o", "machine")
    raw = unpacked((files / "machine" / "tpm.state").read_bytes())
    assert saved_banks(raw) == (0x04, 0x0B, 0x0C)
    for wrong in (b"", raw[:-1], b"\0" * 40):
        with pytest.raises(FormatError):
            saved_banks(wrong)


def test_a_state_file_with_an_unknown_bank() -> None:
    with pytest.raises(FormatError, match="bank 0x0099"):
        saved_banks(encode({"allocated": {0x0B: 0, 0x99: 0}}))
