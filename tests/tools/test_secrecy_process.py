"""Whole processes: what they print, what they leave in files and in their memory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Final

import pytest

from pefstack.tools.built import build_folder
from pefstack.tools.image_cache import cache_folder
from pefstack.tools.machine_file import BUILT_IN, load
from secret_kit import (
    CUSTOMER_DATA,
    PASSPHRASE,
    PLANTED,
    all_secrets,
    asking,
    opened,
)
from secret_search import Found, in_bytes, in_text

ROOT: Final = Path(__file__).parents[2]
TPM_STATE: Final = "tpm.state"  # of the TPM itself, for its owner
OF_TPM: Final = {"NV password", "wrapping key password"}

# It begins with built images, so that no secret comes with the machine file. Who knows
# a secret rightly goes first: the TPM, the hand-over. What is then left is searched.
CHILD: Final = """
import sys
from pefstack import Machine
from secret_search import atoms, everything

machine = Machine(sys.argv[1])
machine.run(until="hypervisor")
software = machine.board.running
if sys.argv[2] == "refused":
    at = software.vm.real(software.guest.placement.kbase) + 99
    byte = machine.board.memory.read(at, 1)[0]
    machine.board.memory.write(at, bytes([byte ^ 1]))
machine.run()
assert (software.end.__class__.__name__ == "Aborted") is (sys.argv[2] == "refused")
if sys.argv[2] != "refused":
    assert len(software.guest.secrets) == 2
if sys.argv[2] != "alive":
    software.hypervisor.destroy_vm(1)
    software.ultravisor.machine = None
    software.hypervisor.relay = machine.board.tpm = None
sys.stdout.buffer.write(atoms(everything()))
"""


@cache
def folder_of(name: str) -> Path:
    """Built images with planted secrets, in a folder of their own."""
    path = BUILT_IN / f"{name}.toml"
    folder = Path(mkdtemp(prefix="machine-", dir=cache_folder()))
    build_folder(path, load(path, PLANTED), folder)
    return folder


@pytest.fixture
def places(tmp_path: Path) -> dict[str, str]:
    """A process that has nothing but folders of its own."""
    names = ("home", "tmp", "work")
    for name in names:
        (tmp_path / name).mkdir()
    paths = os.pathsep.join([str(ROOT / "tests"), str(ROOT / "src")])
    return os.environ | {
        "HOME": str(tmp_path / "home"),
        "TMPDIR": str(tmp_path / "tmp"),
        "PYTHONPATH": paths,
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def run(places: dict[str, str], *words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, *words],
        cwd=Path(places["TMPDIR"]).parent / "work",
        env=places,
        capture_output=True,
        check=False,
    )


def left_files(places: dict[str, str]) -> Iterator[Path]:
    above = Path(places["TMPDIR"]).parent
    return (each for each in above.rglob("*") if each.is_file())


def secrets_of(name: str) -> dict[str, bytes]:
    return all_secrets(asking(name)) | opened(name)


@pytest.mark.parametrize("how", ["ended", "refused"])
@pytest.mark.parametrize("name", ["svm", "svm-v1"])
def test_p12_p21_nothing_is_left_in_a_process(
    name: str, how: str, places: dict[str, str]
) -> None:
    """Every object that the collector knows, when TPM and hand-over are gone."""
    done = run(places, "-c", CHILD, str(folder_of(name)), how)
    assert done.returncode == 0, done.stderr.decode()
    assert len(done.stdout) > 1 << 20
    assert in_bytes("process", done.stdout, secrets_of(name)) == []
    assert in_text("stderr", done.stderr.decode(), secrets_of(name)) == []
    assert list(left_files(places)) == []


def test_what_is_alive_in_a_process_is_found(places: dict[str, str]) -> None:
    """The same with the truth in it: passwords, and the secrets of the VM; nothing of
    what opened them."""
    done = run(places, "-c", CHILD, str(folder_of("svm")), "alive")
    assert done.returncode == 0, done.stderr.decode()
    found = {each.secret for each in in_bytes("", done.stdout, secrets_of("svm"))}
    assert found == OF_TPM | {"rootfs-passphrase", "customer-data"}


@pytest.mark.parametrize("words", [(), ("--json",)], ids=["text", "json"])
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("svm", ()),
        ("svm-v1", ()),
        ("svm", ("machine.chip.smd=true",)),  # another PCR 6: the slot does not open
    ],
    ids=["svm", "svm-v1", "refused"],
)
def test_p23_boot_prints_no_secret_and_leaves_no_file(
    name: str, settings: tuple[str, ...], words: tuple[str, ...], places: dict[str, str]
) -> None:
    options = [word for each in (*PLANTED, *settings) for word in ("--set", each)]
    done = run(places, str(ROOT / "tools" / "boot.py"), name, *options, *words)
    printed = done.stdout.decode() + done.stderr.decode()
    assert "guest" in printed
    assert in_text("printed", printed, secrets_of(name)) == []
    assert list(left_files(places)) == []


@pytest.mark.parametrize("name", ["svm", "svm-v1"])
def test_built_images_hold_no_secret_in_clear(name: str) -> None:
    """In the cache there are what a cloud gets, and the TPM's own state; in that is no
    password of a boot, and nothing of the guest."""
    folder = folder_of(name)
    secrets = secrets_of(name)
    found: list[Found] = []
    for each in sorted(folder.iterdir()):
        found += in_bytes(each.name, each.read_bytes(), secrets)
    assert found == []
    assert oct((folder / TPM_STATE).stat().st_mode & 0o777) == "0o600"
    assert set(load(folder / "machine.toml")) >= {"machine"}
    planted = {"passphrase": PASSPHRASE, "customer data": CUSTOMER_DATA}
    whole = [p for p in cache_folder().rglob("*") if p.is_file()]
    assert whole
    for path in whole:
        assert in_bytes(path.name, path.read_bytes(), planted) == []
