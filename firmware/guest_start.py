"""The guest runs: it asks for secure mode if its command line says so (esm.md 2)."""

from __future__ import annotations

from typing import Final

from pefstack.firmware.virtualization import Virtualization
from pefstack.hw.board import Board

STAGE: Final = "guest"


def run(board: Board) -> None:
    """The last stage: until the guest runs by itself, or was stopped."""
    if isinstance(board.running, Virtualization):
        board.running.run()
