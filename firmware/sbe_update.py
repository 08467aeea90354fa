"""SBE update: an SBE image in the flash goes into the boot SEEPROM (boot-chain.md 1.6).

Hostboot puts this machine's settings into the image and compares it with what the
SEEPROM holds. The next cold start is the first that runs it. An image that the SBE
would reject then is not written; the boot goes on with the old one.
"""

from __future__ import annotations

from dataclasses import replace

from pefstack.firmware.profile_row import ProfileTable
from pefstack.firmware.profiles import profile_of
from pefstack.firmware.root_of_trust import read_settings
from pefstack.firmware.stage import BootFailure
from pefstack.hw.board import Board
from pefstack.hw.chip import SECURITY_SWITCH, SWITCH_SUL
from pefstack.hw.errors import DeviceError
from pefstack.hw.fuses import Fuses
from pefstack.images.errors import FormatError
from pefstack.images.rejection import VerificationError
from pefstack.images.sb_settings import SbSettings
from pefstack.images.sbe_image import customised, security_version, verify_sbe_image
from pefstack.images.xip import XipImage, begins_like_image

_UNFIT = (FormatError, VerificationError, DeviceError, BootFailure)


def update_sbe(board: Board, stage: str, raw: memoryview | None) -> None:
    """Write the image of the partition SBE into every chip that has another one.

    Each chip keeps its own settings; a failure is recorded. Nothing happens in a
    memory-preserving IPL, without an image, or when a SEEPROM holds it already.
    """
    if raw is None or board.chip.memory_preserving:
        return
    for each in board.chips:
        try:
            if _update_one(each, stage, raw):
                _record(each, stage, "")
        except _UNFIT as unfit:
            _record(each, stage, str(unfit))


def _update_one(board: Board, stage: str, raw: memoryview) -> bool:
    """Update the chip that ``board`` runs on; False where nothing is to be done."""
    table = profile_of(board.spec.measure).table
    image = XipImage.from_prefix(raw)[0]
    settings = _settings(board, image, read_settings(board, stage))
    content = fitted(table, image, settings)
    if content == board.seeprom.content:
        return False
    check(table, content, settings)
    install(board, content, settings)
    return True


def sbe_image_in(content: memoryview) -> memoryview | None:
    """What the partition SBE holds, where it begins like an SBE image."""
    return content if begins_like_image(content) else None


def fitted(table: ProfileTable, image: XipImage, settings: SbSettings) -> bytes:
    """The bytes of the image with these settings; `FormatError` if it takes none."""
    return customised(image, settings, power9=not table.sbe_measures).to_bytes()


def check(table: ProfileTable, content: bytes, settings: SbSettings) -> None:
    """Verify a SEEPROM content as the next boot will; on POWER9 nobody does."""
    if table.sbe_measures:
        image = XipImage.from_bytes(content)
        verify_sbe_image(image, settings, patent=table.loader_is_signed)


def install(board: Board, content: bytes, settings: SbSettings) -> None:
    """SEEPROM and fuses; `DeviceError` behind the SBE update lock."""
    board.seeprom.replace(content)
    board.program(
        Fuses(
            hw_key_hash=settings.hw_key_hash,
            minimum_secure_version=settings.minimum_secure_version,
            signing_mode=settings.signing_mode,
        )
    )


def lock_updates(board: Board, stage: str) -> None:
    """Set every chip's update lock before PAYLOAD runs; as Hostboot, where SAB is 1."""
    for each in board.chips:
        if each.chip.secure:
            each.chip.put_scom(SECURITY_SWITCH, SWITCH_SUL)
            each.journal.add(stage, "update-lock")


def _settings(board: Board, image: XipImage, fixed: SbSettings) -> SbSettings:
    """With lock-in the minimum version rises to the new image's; it never falls."""
    table = profile_of(board.spec.measure).table
    if not board.spec.update.lock_in or not table.sbe_measures:
        return fixed
    version = max(fixed.minimum_secure_version, security_version(image))
    return replace(fixed, minimum_secure_version=version)


def _record(board: Board, stage: str, reason: str) -> None:
    board.journal.add(
        stage,
        "sbe-update",
        done=int(not reason),
        minimum_secure_version=board.fuses.minimum_secure_version,
        reason=reason,
    )
