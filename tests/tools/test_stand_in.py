"""Our server in the place of other programs, for suites that start them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from suites import stand_in


@pytest.mark.parametrize(
    ("program", "line", "wanted"),
    [
        (
            "swtpm",
            "socket --tpm2 --server port=4000 --ctrl type=tcp,port=4001"
            " --flags not-need-init --tpmstate dir=/x",
            "tpm serve --swtpm 4000",
        ),
        (
            "swtpm",
            "socket --ctrl type=tcp,port=4001 --server type=tcp,port=4000"
            " --flags not-need-init,startup-clear",
            "tpm serve --swtpm 4000 --startup-clear",
        ),
        ("tpm_server", "-rm -port 4000", "tpm serve --mssim 4000"),
    ],
)
def test_arguments(program: str, line: str, wanted: str) -> None:
    assert stand_in.arguments(program, line.split()) == wanted.split()


def test_without_a_port() -> None:
    with pytest.raises(ValueError, match="tpm_server: no port in '-rm'"):
        stand_in.arguments("tpm_server", ["-rm"])


def test_an_installed_program_is_ours(tmp_path: Path) -> None:
    made = stand_in.install(tmp_path, "swtpm")
    done = subprocess.run(
        [made, "--server", "port=99999"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "pef tpm serve: error: argument --swtpm" in done.stderr
