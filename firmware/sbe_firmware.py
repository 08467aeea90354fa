"""What both SBE stages do with the SBE's own container and code."""

from __future__ import annotations

from pefstack.firmware.profiles import profile_of
from pefstack.firmware.root_of_trust import container_header, section
from pefstack.firmware.verification import accept
from pefstack.hw.board import Board
from pefstack.images.container_verify import SBE_FW, Verified, sbe_verify
from pefstack.images.sb_settings import SbSettings
from pefstack.images.xip import XipImage


def verification_code(image: XipImage, stage: str) -> bytes:
    """`.sb_verification`, as it is hashed."""
    return section(image, stage, ".sb_verification")


def firmware_payload(board: Board, stage: str, image: XipImage) -> bytes:
    """What SBE_FW signs: `.base`, in the profile `patent` `.sb_verification` too."""
    base = section(image, stage, ".base")
    signed = profile_of(board.spec.measure).table.loader_is_signed
    return base + verification_code(image, stage) if signed else base


def verify_sbe_firmware(
    board: Board, stage: str, image: XipImage, fixed: SbSettings, *, secure: bool
) -> Verified | None:
    """Check `.sbh_firmware` by the rules of boot-chain.md 1.4, with hardware key C.

    None where a rejection is only recorded.
    """
    header = container_header(image, stage, ".sbh_firmware")
    payload = firmware_payload(board, stage, image)
    return accept(
        board,
        stage,
        "SBE_FW",
        lambda: sbe_verify(
            header, payload, SBE_FW, fixed.hw_key_hash, fixed.minimum_secure_version
        ),
        secure=secure,
    )
