"""Hostboot init HBB [780]: begin the event log, verify and measure hostboot ext.

Writes the log entries of all earlier extends, from the measurement registers and the
header of HBB in memory. Extends PCR0 and PCR1 (HBI; key hashes when secure).
"""

from __future__ import annotations

from typing import Final

from pefstack.firmware import hostboot_ext
from pefstack.firmware.bring_in import bring_in
from pefstack.firmware.log import LogWriter
from pefstack.firmware.measure import digests_of, measure
from pefstack.firmware.memory_map import HBB_ADDRESS, HBI_ADDRESS
from pefstack.firmware.pages import check_salt
from pefstack.firmware.profiles import profile_of
from pefstack.firmware.root_of_trust import read_settings
from pefstack.firmware.stage import Stage
from pefstack.firmware.status import tpm_is_lost
from pefstack.hw.board import Board
from pefstack.images.container import HEADER_SIZE
from pefstack.images.container_peek import payload_hash_of, sw_keys_hash_of

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
    log = None
    if profile_of(board.spec.measure).table.sbe_measures:
        log = LogWriter.begin(board, STAGE)
        if not tpm_is_lost(board):  # else nobody knows what the TPM still took
            _log_earlier(board, log, fixed.hw_key_hash, payload_hash_of(header))
    if board.chip.secure:
        measure(board, STAGE, "hbb-fw-key-hash", sw_keys_hash_of(header), log)
    bring_in(board, STAGE, "HBI", fixed, log, HBI_ADDRESS)
    check_salt(board, STAGE)
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
