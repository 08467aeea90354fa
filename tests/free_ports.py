"""Ports for servers that must be told theirs."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterator
from typing import Final

# Below what a system gives out by itself (Linux from 32768, others from 49152): no
# client, and no server on "any port", can come in between.
_FIRST: Final = 10_000
_END: Final = 32_000
_WORKERS: Final = 16  # of pytest-xdist, each with ports of its own
_CHANCE: Final = random.SystemRandom()  # other runs may be under way


def free_ports() -> Iterator[int]:
    """Ports that are free together with the next one, not even in TIME_WAIT."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    pairs = range(_FIRST + 2 * (worker % _WORKERS), _END, 2 * _WORKERS)
    while True:
        port = _CHANCE.choice(pairs)
        if _is_free(port) and _is_free(port + 1):
            yield port


def _is_free(port: int) -> bool:
    """Without SO_REUSEADDR, which swtpm does not set either."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
