"""Bring a partition in: load, verify, check its place, keep it, measure it."""

from __future__ import annotations

from pefstack.firmware.load import Loaded, check_label, check_size, load
from pefstack.firmware.log import LogWriter
from pefstack.firmware.measure import measure
from pefstack.hw.board import Board
from pefstack.images.container import HEADER_SIZE
from pefstack.images.container_peek import with_payload_hash
from pefstack.images.sb_settings import SbSettings


def bring_in(
    board: Board,
    stage: str,
    name: str,
    settings: SbSettings,
    log: LogWriter | None,
    address: int | None = None,
) -> Loaded:
    """What Hostboot does with a secured partition; raises `BootFailure`.

    The payload lands at ``address``, its header before it. In secure mode the hash of
    the software keys is measured too (boot-chain.md 3.3).
    """
    loaded = load(board, stage, name, settings)
    check_label(board, stage, name, loaded)
    check_size(board, stage, name, loaded)
    if address is not None:
        put(board, address, loaded)
    what = name.lower()
    measure(board, stage, what, loaded.payload_digest, log)
    if board.chip.secure and loaded.verified:
        key_hash = loaded.verified.prefix.payload_hash
        measure(board, stage, f"{what}-fw-key-hash", key_hash, log)
    return loaded


def put(board: Board, address: int, loaded: Loaded) -> None:
    """The payload at an address, its header before it.

    A rejected container gets the computed hash into its header, so that later code
    measures the true content (boot-chain.md 1.5).
    """
    header: bytes | memoryview = loaded.container[:HEADER_SIZE]
    if loaded.verified is None:
        header = with_payload_hash(header, loaded.payload_digest)
    board.memory.write(address - HEADER_SIZE, header)
    board.memory.write(address, loaded.container[HEADER_SIZE:])
