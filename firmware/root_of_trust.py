"""What the SBE stages start from: the SEEPROMs and the settings that fuses confirm."""

from __future__ import annotations

from typing import Final

from pefstack.firmware.profiles import profile_of
from pefstack.firmware.stage import BootFailure, Refusal
from pefstack.hw.board import Board
from pefstack.images.container import HEADER_SIZE
from pefstack.images.errors import FormatError
from pefstack.images.hbbl_area import hw_key_hash_of
from pefstack.images.sb_settings import SIGNING_V1, MeasurementSettings, SbSettings
from pefstack.images.xip import NAME, XipImage

_BUILD: Final = "build the SEEPROM images again with `pef build`"


def boot_seeprom(board: Board, stage: str) -> XipImage:
    """The boot SEEPROM as it is now; a broken one ends the boot."""
    return _xip(board.seeprom.content, stage)


def section(image: XipImage, stage: str, name: str) -> bytes:
    """One section, zero-padded to 8 as it is hashed (boot-chain.md 1.4)."""
    try:
        found = bytes(image.section(name))
    except FormatError as broken:
        raise _broken(stage, broken) from broken
    return found + bytes(-len(found) % 8)


def container_header(image: XipImage, stage: str, name: str) -> bytes:
    """A section that is a container's header; one of another size ends the boot."""
    found = section(image, stage, name)
    if len(found) != HEADER_SIZE:
        size, wanted = f"0x{len(found):x} bytes", f"0x{HEADER_SIZE:x} bytes"
        raise _broken(stage, FormatError(NAME, name, 0, size, wanted))
    return found


def settings(board: Board, stage: str, image: XipImage) -> SbSettings:
    """`.sb_settings` of the boot SEEPROM, which must say what the fuses say."""
    raw = section(image, stage, ".sb_settings")
    try:
        found = SbSettings.from_bytes(raw)
    except FormatError as broken:
        raise _broken(stage, broken) from broken
    _confirm(board, stage, found)
    return found


def read_settings(board: Board, stage: str) -> SbSettings:
    """The same, for a stage that needs nothing else of the SEEPROM.

    On POWER9 the key hash at the end of the HBBL area takes their place; it knows no
    minimum version.
    """
    image = boot_seeprom(board, stage)
    if profile_of(board.spec.measure).table.sbe_measures:
        return settings(board, stage, image)
    try:
        found = SbSettings(hw_key_hash=hw_key_hash_of(section(image, stage, ".hbbl")))
    except FormatError as broken:
        raise _broken(stage, broken) from broken
    _confirm(board, stage, found)
    return found


def measurement_version(board: Board, stage: str) -> bytes:
    """The 4-byte version of the measurement SEEPROM."""
    raw = section(_xip(board.measurement_seeprom.content, stage), stage, ".sb_settings")
    try:
        found = MeasurementSettings.from_bytes(raw)
    except FormatError as broken:
        raise _broken(stage, broken) from broken
    return found.measurement_version.to_bytes(4, "big")


def _confirm(board: Board, stage: str, found: SbSettings) -> None:
    fuses = board.fuses
    names = ("hw_key_hash", "minimum_secure_version", "signing_mode")
    for name in names:
        there, fused = getattr(found, name), getattr(fuses, name)
        if there != fused:
            raise BootFailure(
                stage,
                Refusal.SETTINGS_DIFFER,
                f"{name}: found {_text(there)}, fused {_text(fused)}",
                "build the SEEPROM for this machine's fuses",
            )
    if found.signing_mode != SIGNING_V1:
        raise BootFailure(
            stage,
            Refusal.SIGNING_MODE,
            f"signing mode {found.signing_mode}: found no verifier, expected mode 0",
            "set machine.fuses.signing-mode to 0 and build again",
        )


def _text(value: bytes | int) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def _xip(content: bytes, stage: str) -> XipImage:
    try:
        return XipImage.from_bytes(content)
    except FormatError as broken:
        raise _broken(stage, broken) from broken


def _broken(stage: str, broken: FormatError) -> BootFailure:
    return BootFailure(stage, Refusal.SEEPROM_FORMAT, str(broken), _BUILD)
