"""A missing program skips a test, or fails it where it is required."""

from __future__ import annotations

from pathlib import Path

import pytest

from interop import need, need_file


def test_a_program_that_is_there() -> None:
    assert need("sh", "dash").endswith("/sh")
    here = Path(__file__)
    assert need_file(here, "of this repository") == here


@pytest.mark.parametrize(
    ("required", "outcome"),
    [("", pytest.skip.Exception), ("1", pytest.fail.Exception)],
)
def test_missing_program(
    required: str, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PEFSTACK_REQUIRE_INTEROP", required)
    either = (pytest.skip.Exception, pytest.fail.Exception)
    with pytest.raises(either, match="nowhere") as caught:
        need("no-such-program", "nowhere")
    assert caught.type is outcome
    with pytest.raises(either, match="needs none from nowhere") as caught:
        need_file(Path("no/such/none"), "from nowhere")
    assert caught.type is outcome
