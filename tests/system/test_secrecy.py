"""After every end of UV_ESM: no secret lies open anywhere, and memory is wiped."""

from __future__ import annotations

import pytest

from secret_kit import Watched, asking, refusal_of, secure_content, uv_of
from secret_refusals import ROWS, Row


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_p21_after_a_refusal_nothing_is_found_and_everything_is_wiped(row: Row) -> None:
    watched = Watched(asking(row.machine))
    row.tamper(watched)
    watched.run()
    assert refusal_of(watched.machine) == (row.step, row.name)
    assert watched.found() == []
    assert secure_content(watched.machine) == b""
    uv = uv_of(watched.machine)
    assert watched.machine.board.secure.used_pages == 0
    assert uv.calls == {}
    assert all(svm.files is None for svm in uv.svms.values())
