"""SBE, mutable boot loader [776]: SB verification code [774], then SBE firmware.

Verifies its own firmware, decides secure mode, verifies the hostboot loader [778],
measures both, the security switch, and a separator. boot-chain.md 1.4, 1.5, 3.3 steps
7 to 10; the boot policy's PCR gets nothing here (3.5).
"""

from __future__ import annotations

import hashlib
from typing import Final

from pefstack.firmware import hostboot_loader
from pefstack.firmware.measure import measure
from pefstack.firmware.profiles import profile_of
from pefstack.firmware.root_of_trust import (
    boot_seeprom,
    container_header,
    section,
    settings,
)
from pefstack.firmware.sbe_firmware import firmware_payload, verify_sbe_firmware
from pefstack.firmware.secure_mode import decide_secure_mode
from pefstack.firmware.stage import Stage
from pefstack.firmware.verification import accept
from pefstack.hw.board import Board
from pefstack.hw.chip import SECURITY_SWITCH
from pefstack.images.container_verify import HBBL, sbe_verify

STAGE: Final = "sbe_mutable"


def run(board: Board) -> Stage:
    """Verify and measure what comes next, then hand over to the hostboot loader."""
    image = boot_seeprom(board, STAGE)
    if not profile_of(board.spec.measure).table.sbe_measures:
        return hostboot_loader.run  # POWER9: nobody verifies HBBL
    fixed = settings(board, STAGE, image)
    sampled = board.chip.secure
    firmware = verify_sbe_firmware(board, STAGE, image, fixed, secure=sampled)
    decide_secure_mode(board, STAGE, firmware)
    _measure_code(board, "sbe-firmware", 8, firmware_payload(board, STAGE, image))
    header = container_header(image, STAGE, ".sbh_hbbl")
    hbbl = section(image, STAGE, ".hbbl")
    hash_and_version = fixed.hw_key_hash, fixed.minimum_secure_version
    accept(
        board,
        STAGE,
        "HBBL",
        lambda: sbe_verify(header, hbbl, HBBL, *hash_and_version),
        secure=board.chip.secure,
    )
    _measure_code(board, "hbbl", 12, hbbl)
    switches = board.chip.get_scom(SECURITY_SWITCH).to_bytes(8, "big")
    board.chip.put_measurement(3, switches)
    measure(board, STAGE, "sbe-switches", switches[:4])
    measure(board, STAGE, "separator", b"")
    return hostboot_loader.run


def _measure_code(board: Board, what: str, register: int, code: bytes) -> None:
    """Measure a calculated hash and leave it in four measurement registers."""
    digest = hashlib.sha512(code).digest()
    board.chip.put_measurement(register, digest[:32])
    measure(board, STAGE, what, digest)
