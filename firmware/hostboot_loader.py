"""Hostboot loader HBBL [778]: verify and measure hostboot init, put it into memory.

Extends PCR0 with the hash of HBB. boot-chain.md 2.4, 3.3 step 11.
"""

from __future__ import annotations

from typing import Final

from pefstack.firmware import hostboot_init
from pefstack.firmware.bring_in import put
from pefstack.firmware.load import Loaded, check_label, load
from pefstack.firmware.measure import measure
from pefstack.firmware.memory_map import HBB_ADDRESS
from pefstack.firmware.root_of_trust import read_settings
from pefstack.firmware.stage import BootFailure, Refusal, Stage
from pefstack.hw.board import Board

STAGE: Final = "hostboot_loader"


def run(board: Board) -> Stage:
    """Hand over to the hostboot base image HBB."""
    loaded = load(board, STAGE, "HBB", read_settings(board, STAGE))
    check_label(board, STAGE, "HBB", loaded)
    _check_one_key(board, loaded)
    put(board, HBB_ADDRESS, loaded)
    measure(board, STAGE, "hbb", loaded.payload_digest)
    return hostboot_init.run


def _check_one_key(board: Board, loaded: Loaded) -> None:
    """HBBL takes size and hash from their places with one software key (1.1)."""
    count = loaded.verified.prefix.sw_key_count if loaded.verified else 1
    if board.chip.secure and count != 1:
        raise BootFailure(
            STAGE,
            Refusal.SW_KEY_COUNT,
            f"HBB: found {count} software keys, expected 1",
            "sign HBB with one software key",
        )
