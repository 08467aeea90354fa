"""Hostboot init HBB [780]: begin the event log, verify and measure hostboot ext.

Writes the log entries of all earlier extends, from the measurement registers and the
header of HBB in memory. Extends PCR0 and PCR1 (HBI; key hashes when secure).
"""

from __future__ import annotations

from typing import Final

from pefstack.firmware import hostboot_ext
from pefstack.firmware.load import check_label, check_size, load
from pefstack.firmware.log import LogWriter
from pefstack.firmware.measure import digests_of, measure
from pefstack.firmware.memory_map import HBB_ADDRESS, HBI_ADDRESS
from pefstack.firmware.profiles import profile_of
from pefstack.firmware.root_of_trust import read_settings
from pefstack.firmware.stage import Stage
from pefstack.hw.board import Board
from pefstack.images.container import HEADER_SIZE, ContainerHeader, payload_hash_of

STAGE: Final = "hostboot_init"
_EARLIER: Final = ("sbe_immutable", "sbe_mutable", "hostboot_loader")
# subject -> first measurement register and size in bytes (boot-chain.md 3.3)
_REGISTERS: Final = {
    "secure-jumper": (0, 1),
    "security-state": (0, 8),
    "sbe-state": (2, 8),
    "sbe-switches": (3, 4),
    "sb-verification": (4, 32),
    "sbe-firmware": (8, 32),
    "hbbl": (12, 32),
}


def run(board: Board) -> Stage:
    """Hand over to the hostboot extended image HBI."""
    fixed = read_settings(board, STAGE)
    header = board.memory.read(HBB_ADDRESS - HEADER_SIZE, HEADER_SIZE)
    log = LogWriter.begin(board, STAGE)
    _log_earlier(board, log, fixed.hw_key_hash, payload_hash_of(header))
    if board.chip.secure:  # only then the header is known to be one
        key_hash = ContainerHeader.from_prefix(header).prefix.payload_hash
        measure(board, STAGE, "hbb-fw-key-hash", key_hash, log)
    loaded = load(board, STAGE, "HBI", fixed)
    check_label(board, STAGE, "HBI", loaded)
    check_size(board, STAGE, "HBI", loaded)
    board.memory.write(HBI_ADDRESS - HEADER_SIZE, loaded.container)
    measure(board, STAGE, "hbi", loaded.payload_digest, log)
    if board.chip.secure and loaded.verified:
        key_hash = loaded.verified.prefix.payload_hash
        measure(board, STAGE, "hbi-fw-key-hash", key_hash, log)
    return hostboot_ext.run


def _log_earlier(
    board: Board, log: LogWriter, hw_key_hash: bytes, hbb_digest: bytes
) -> None:
    known = {"hw-key-hash": hw_key_hash, "hbb": hbb_digest, "separator": b""}
    for what, (first, size) in _REGISTERS.items():
        known[what] = board.chip.get_measurement(first, -(-size // 8))[:size]
    for stage in _EARLIER:
        for each in profile_of(board.spec.measure).of_stage(stage):
            log.append(each, digests_of(each, known[each.what]))
