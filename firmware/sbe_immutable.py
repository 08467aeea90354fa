"""SBE, immutable code [772]: measure keys and jumper, verify the mutable loader.

Runs from ROM and the write-locked measurement SEEPROM; the chain's root, verified by
nobody. Extends, in this order (profile `patent`): hardware key hash [788], secure boot
jumper [790], its state, and, once the mutable loader's signature is verified, the hash
of the SB verification code [774]. boot-chain.md 3.3 steps 1 to 6, 3.5.
"""

from __future__ import annotations

import hashlib
from typing import Final

from pefstack.firmware import sbe_mutable
from pefstack.firmware.measure import measure
from pefstack.firmware.profiles import profile_of
from pefstack.firmware.root_of_trust import boot_seeprom, measurement_version, settings
from pefstack.firmware.sbe_firmware import verification_code, verify_sbe_firmware
from pefstack.firmware.stage import Stage
from pefstack.firmware.tpm_start import start_tpm
from pefstack.hw.board import Board
from pefstack.hw.processor import Role

STAGE: Final = "sbe_immutable"
PRIMARY_CHIP: Final = 0x10  # in byte 1 of the state
MEMORY_PRESERVING: Final = 0x01


def run(board: Board) -> Stage:
    """Measure the root of trust, then hand over to the verified mutable loader."""
    image = boot_seeprom(board, STAGE)
    if not profile_of(board.spec.measure).table.sbe_measures:
        return sbe_mutable.run  # POWER9: the magic is all that is looked at
    fixed = settings(board, STAGE, image)
    version = measurement_version(board, STAGE)
    start_tpm(board, STAGE)
    state = _state(board, fixed.minimum_secure_version, version)
    security = bytes([board.chip.smd, fixed.minimum_secure_version])
    board.chip.put_measurement(0, security)
    board.chip.put_measurement(1, fixed.hw_key_hash[:8])
    board.chip.put_measurement(2, state)
    measure(board, STAGE, "hw-key-hash", fixed.hw_key_hash)
    measure(board, STAGE, "secure-jumper", security[:1])
    measure(board, STAGE, "security-state", security)
    measure(board, STAGE, "sbe-state", state)
    if profile_of(board.spec.measure).table.loader_is_signed:
        verify_sbe_firmware(board, STAGE, image, fixed, secure=board.chip.secure)
    digest = hashlib.sha512(verification_code(image, STAGE)).digest()
    board.chip.put_measurement(4, digest[:32])
    measure(board, STAGE, "sb-verification", digest)
    return sbe_mutable.run


def _state(board: Board, minimum_secure_version: int, version: bytes) -> bytes:
    """The 8-byte record of PCR1 (3.3 step 4); the first SEEPROM has no bit.

    Nor has the completion stage, which the published code never sets.
    """
    locked = board.measurement_seeprom.locked
    kind = MEMORY_PRESERVING if board.chip.memory_preserving else 0
    chip = PRIMARY_CHIP if board.role is Role.PRIMARY else 0
    start = (board.chip.smd, chip | kind, locked, minimum_secure_version)
    return bytes(start) + version
