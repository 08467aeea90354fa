"""tpm2-pytss's ESAPI on our server, beside a real swtpm: the same answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from interop import PYTSS, need_file
from swtpm_kit import run, swtpm
from tpm_server_kit import serving

pytestmark = pytest.mark.interop

FLOW = Path(__file__).parent.parent / "suites" / "pytss" / "flow.py"


@contextmanager
def tcti(kind: str, folder: Path) -> Iterator[str]:
    """A TPM that has just been made."""
    if kind == "swtpm itself":
        with swtpm(folder) as port:
            yield f"swtpm:host=localhost,port={port}"
    else:
        with serving(startup=False) as running:
            yield running.addresses[kind].tcti


def flow(kind: str, folder: Path) -> dict[str, Any]:
    """What the flow saw."""
    python = need_file(PYTSS, "(tests/suites/pytss/run.py --prepare makes it)")
    with tcti(kind, folder) as address:
        done = run(str(python), str(FLOW), address, TSS2_LOG="all+none")
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return flow("swtpm itself", tmp_path_factory.mktemp("swtpm"))


@pytest.mark.parametrize("kind", ["swtpm", "mssim"])
def test_an_esapi_flow(kind: str, theirs: dict[str, Any], tmp_path: Path) -> None:
    """Seal and unseal, NV, quotes, duplicates, a key from outside, credentials."""
    ours = flow(kind, tmp_path)
    assert ours == theirs
    secret = b"the seed of a locked box".hex()
    assert [ours["unsealed"], ours["moved"][0], ours["credential"]] == [secret] * 3
    assert ours["unseal, other PCR"] == "0x99d"
    assert ours["unseal, wrong password"] == "0x9a2"
    assert ours["another's credential"] == "0x1df"
