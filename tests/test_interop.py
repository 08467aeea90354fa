"""A missing program skips a test, and fails it where it is required."""

from __future__ import annotations

import pytest

from interop import need


def test_a_program_that_is_there() -> None:
    assert need("sh", "dash").endswith("/sh")


def test_missing_program_skips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PEFSTACK_REQUIRE_INTEROP", raising=False)
    with pytest.raises(pytest.skip.Exception, match="nowhere"):
        need("no-such-program", "nowhere")


def test_missing_program_fails_where_it_is_required(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PEFSTACK_REQUIRE_INTEROP", "1")
    with pytest.raises(pytest.fail.Exception, match="nowhere"):
        need("no-such-program", "nowhere")
