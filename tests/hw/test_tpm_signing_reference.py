"""2,600 commands that sign, hash or encrypt, answered as swtpm answered them."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from free_ports import free_ports
from interop import need
from tpm_kit import ALL_BANKS, rc_of, started, vector
from tpm_signing_rows import OTHERWISE, answers

RECORDED = vector("signing_reference.json")
RETRY = 0x922  # the reference, at the first use of a protected authValue


def test_answered_as_a_real_tpm_answers() -> None:
    tpm, _, _ = started(banks=ALL_BANKS, allocated=ALL_BANKS)
    ours = answers(tpm.execute)
    assert len(ours) > 2500
    assert ours == RECORDED | OTHERWISE


def test_what_is_answered_otherwise_was_a_failure_or_a_cmac() -> None:
    for name in OTHERWISE:
        assert RECORDED[name] in ("101", "2c4", "2d2")
        assert "aes" in name or RECORDED[name] == "101"


@pytest.fixture
def reference(tmp_path: Path) -> Iterator[socket.socket]:
    """A connection to a new swtpm."""
    program, port = need("swtpm", "swtpm"), next(free_ports())
    command = [program, "socket", "--tpm2", "--tpmstate", f"dir={tmp_path}"]
    command += ["--server", f"type=tcp,port={port},bindaddr=127.0.0.1"]
    command += ["--ctrl", f"type=tcp,port={port + 1},bindaddr=127.0.0.1"]
    command += ["--flags", "not-need-init,startup-clear"]
    with subprocess.Popen(command) as process:
        connection = connected(port)
        with connection:
            yield connection
        process.terminate()
    shutil.rmtree(tmp_path, ignore_errors=True)


def connected(port: int) -> socket.socket:
    for _ in range(200):
        try:
            return socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            time.sleep(0.05)
    raise AssertionError("swtpm does not listen")


@pytest.mark.interop
def test_the_record_is_what_swtpm_answers(reference: socket.socket) -> None:
    def execute(command: bytes) -> bytes:
        while True:
            reference.sendall(command)
            answer = reference.recv(4096)
            while len(answer) < int.from_bytes(answer[2:6], "big"):
                answer += reference.recv(4096)
            if rc_of(answer) != RETRY:
                return answer

    assert answers(execute) == RECORDED
