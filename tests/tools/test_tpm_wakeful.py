"""The event loop of the TPM server: awake for a moment after work, then asleep."""

from __future__ import annotations

import asyncio
import selectors
import socket
import time

import pytest

from pefstack.tools.tpm_server import wakeful
from pefstack.tools.tpm_server.wakeful import WakefulSelector, wakeful_loop


def test_what_is_ready_is_found() -> None:
    one, other = socket.socketpair()
    with one, other, WakefulSelector() as selector:
        selector.register(one, selectors.EVENT_READ, "data")
        for timeout in (0, 1.0, None):
            other.send(b"x")
            ((key, events),) = selector.select(timeout)
            assert (key.data, events) == ("data", selectors.EVENT_READ)
            assert one.recv(1) == b"x"


@pytest.mark.parametrize("timeout", [0, -1, 0.05])
def test_it_gives_up_in_time(timeout: float) -> None:
    one, other = socket.socketpair()
    with one, other, WakefulSelector() as selector:
        selector.register(one, selectors.EVENT_READ)
        start = time.monotonic()
        assert selector.select(timeout) == []
        assert max(timeout, 0) - 0.01 < time.monotonic() - start < timeout + 2


def test_it_sleeps_when_nothing_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """After work it looks again for a moment; then the processor is free."""
    looks: list[bool] = []
    monkeypatch.setattr(wakeful, "_let_others_run", lambda: looks.append(True))
    monkeypatch.setattr(wakeful, "AWAKE", 0.01)
    one, other = socket.socketpair()
    with one, other, WakefulSelector() as selector:
        selector.register(one, selectors.EVENT_READ)
        assert selector.select(0.05) == []
        assert looks == []
        other.send(b"x")
        assert selector.select(0.05)
        one.recv(1)
        assert selector.select(0.05) == []
        assert looks
        looks.clear()
        assert selector.select(0.05) == []
        assert looks == []


def test_a_loop_runs_on_it() -> None:
    async def talk() -> bytes:
        one, other = socket.socketpair()
        with one, other:
            one.setblocking(False)
            loop = asyncio.get_running_loop()
            loop.call_later(0.02, other.send, b"late")
            return await loop.sock_recv(one, 4)

    with asyncio.Runner(loop_factory=wakeful_loop) as runner:
        assert runner.run(talk()) == b"late"
