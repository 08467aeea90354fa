"""An event loop that stays awake for a moment after work, for the next command.

A client's next command comes a few microseconds after an answer. To let a processor
fall asleep and to wake it takes longer than the TPM takes for a command.
"""

from __future__ import annotations

import asyncio
import os
import selectors
import time
from collections.abc import Callable
from typing import Final

AWAKE: Final = 50e-6  # seconds
Ready = list[tuple[selectors.SelectorKey, int]]


def _nobody_waits() -> None:
    """Where a process can't let others run first."""


_let_others_run: Final[Callable[[], None]] = getattr(os, "sched_yield", _nobody_waits)


class WakefulSelector(selectors.DefaultSelector):
    """Looks again and again for a moment before it sleeps; others run in between."""

    def __init__(self) -> None:
        super().__init__()
        self._awake_until = 0.0

    def select(self, timeout: float | None = None) -> Ready:
        """What is ready, within ``timeout`` seconds; None waits for ever."""
        ready = super().select(0)
        if not ready and (timeout is None or timeout > 0):
            ready = self._looked_for() or super().select(timeout)
        if ready:
            self._awake_until = time.perf_counter() + AWAKE
        return ready

    def _looked_for(self) -> Ready:
        ready: Ready = []
        while not ready and time.perf_counter() < self._awake_until:
            _let_others_run()
            ready = super().select(0)
        return ready


def wakeful_loop() -> asyncio.AbstractEventLoop:
    """An event loop on such a selector."""
    return asyncio.SelectorEventLoop(WakefulSelector())
