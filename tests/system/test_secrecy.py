"""After every end of UV_ESM: no secret lies open anywhere, and memory is wiped."""

from __future__ import annotations

from typing import Final

import pytest

from secret_kit import Watched, asking, refusal_of, secure_content, uv_of
from secret_refusals import ROWS, Row

BLOB: Final = "svm-v1"
OPENED: Final = 17  # from this step on the ultravisor knows the guest's secrets


def rows(first: int, last: int, machine: str = "svm") -> pytest.MarkDecorator:
    """Those that end in these steps."""
    found = [
        row for row in ROWS if first <= row.step <= last and row.machine == machine
    ]
    return pytest.mark.parametrize("row", found, ids=str)


def refused(row: Row) -> Watched:
    """The call ends where it should, nothing is found and all memory is blank."""
    watched = Watched(asking(row.machine))
    row.tamper(watched)
    watched.run()
    assert refusal_of(watched.machine) == (row.step, row.name)
    assert watched.found() == []
    assert secure_content(watched.machine) == b""
    assert watched.machine.board.secure.used_pages == 0
    uv = uv_of(watched.machine)
    assert uv.calls == {}
    assert all(svm.files is None for svm in uv.svms.values())
    return watched


@rows(1, 8)
def test_p21_refused_at_once_nothing_is_found(row: Row) -> None:
    watched = refused(row)
    assert watched.tap.seen == []


@rows(9, 15)
def test_p21_refused_while_pages_come_in_nothing_is_found(row: Row) -> None:
    watched = refused(row)
    assert watched.tap.seen == []


@rows(16, 16)
def test_p21_refused_while_the_tpm_opens_nothing_is_found(row: Row) -> None:
    refused(row)


@rows(OPENED, OPENED)
def test_p21_refused_once_it_is_open_nothing_is_found(row: Row) -> None:
    assert {"seed", "HMAC key"} <= set(refused(row).secrets)


@rows(18, 22)
def test_p21_refused_when_it_was_read_nothing_is_found(row: Row) -> None:
    known = set(refused(row).secrets)
    if row.name != "kernel":  # refused before it asks for anything more
        assert {"rootfs-passphrase", "customer-data"} <= known


@rows(1, 22, BLOB)
def test_p21_refused_with_a_blob_nothing_is_found(row: Row) -> None:
    refused(row)


@rows(1, 22, f"{BLOB}-strict")
def test_p21_refused_with_a_blob_and_a_salt_nothing_is_found(row: Row) -> None:
    assert "salt" in refused(row).secrets


def test_there_is_a_row_for_every_step_that_can_fail() -> None:
    """Step 21 only notes that the VM is secure; 23 is the entry itself."""
    steps = {row.step for row in ROWS if row.machine == "svm"}
    assert steps == set(range(1, 23)) - {21}
    assert {row.step for row in ROWS if row.machine == BLOB} >= {15, 16, 17, 18, 19}
