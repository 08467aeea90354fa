"""Key transition: partition SBKT puts new hardware keys in charge (boot-chain.md 1.3).

The outer container is signed by the keys of this machine and bears the key transition
flag; its payload is a container signed by the new ones. When both verify, the hash of
the new keys goes into SEEPROM and fuses, and Hostboot shuts the machine down.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from pefstack.firmware import sbe_update
from pefstack.firmware.load import Loaded, check_label
from pefstack.firmware.profiles import profile_of
from pefstack.firmware.root_of_trust import read_settings
from pefstack.firmware.stage import BootFailure, Refusal, Shutdown
from pefstack.firmware.verification import accept, enforces, record
from pefstack.hw.board import Board
from pefstack.hw.errors import DeviceError
from pefstack.images.container import FLAG_KEY_TRANSITION, HEADER_SIZE
from pefstack.images.container_peek import hw_keys_hash_of
from pefstack.images.container_verify import Verified, rom_verify
from pefstack.images.errors import FormatError
from pefstack.images.rejection import VerificationError
from pefstack.images.sb_settings import SbSettings
from pefstack.images.xip import XipImage

SBKT: Final = "SBKT"
CODE: Final = "SBKT nested"
MEND: Final = "build the key transition again; the machine keeps its keys"
MEND_SBE: Final = "put an SBE image that the new keys signed into the partition SBE"


def key_transition(
    board: Board,
    stage: str,
    outer: Loaded | None,
    image: memoryview | None,
    fixed: SbSettings,
) -> Shutdown | None:
    """Change the keys if ``outer``, the partition SBKT, says so; None if nothing does.

    ``image`` is the SBE image in the flash, where there is one. A defect ends the boot
    while security is on, else it is recorded and passed over.
    Nothing is changed in a memory-preserving IPL.
    """
    if outer is None or outer.verified is None or board.chip.memory_preserving:
        return None
    nested = _nested(board, stage, outer, outer.verified, fixed)
    if nested is None:
        return None
    new = hw_keys_hash_of(nested)
    if problem := _written(board, stage, image, new):
        _refuse(board, stage, problem, MEND_SBE)
        return None
    board.journal.add(
        stage,
        "key-transition",
        old=fixed.hw_key_hash.hex(),
        new=new.hex(),
    )
    return Shutdown(reason="key transition complete")


def _nested(
    board: Board, stage: str, outer: Loaded, verified: Verified, fixed: SbSettings
) -> memoryview | None:
    """The nested container, found good by the rules of the ROM with its own keys."""
    size, flags = verified.software.payload_size, verified.prefix.flags
    if not flags & FLAG_KEY_TRANSITION:
        problem = f"hardware flags: found 0x{flags:08x}, expected 0x1 among them"
        _refuse(board, stage, problem)
        return None
    if size < HEADER_SIZE:
        found = f"nested container: found 0x{size:x} bytes, expected at least 0x1000"
        _refuse(board, stage, found)
        return None
    nested = outer.container[HEADER_SIZE : HEADER_SIZE + size]
    keys, version = hw_keys_hash_of(nested), fixed.minimum_secure_version
    good = accept(
        board,
        stage,
        CODE,
        lambda: rom_verify(nested, keys, version),
        secure=board.chip.secure,
    )
    if good is None:
        return None
    digest = good.software.payload_hash
    inner = Loaded(
        container=nested, place=outer.place, payload_digest=digest, verified=good
    )
    check_label(board, stage, SBKT, inner)
    return nested


def _written(
    board: Board, stage: str, raw: memoryview | None, hw_key_hash: bytes
) -> str:
    """Put the new hash into SEEPROM and fuses of every chip; or what is in the way.

    The new keys must also have signed what the SBE will verify: the image in the flash,
    where there is one, takes the place of the old.
    """
    try:
        fitting = [
            (each, *_fitted(each, stage, raw, hw_key_hash)) for each in board.chips
        ]
        for chip, content, settings in fitting:
            sbe_update.install(chip, content, settings)
    except (FormatError, VerificationError, DeviceError, BootFailure) as unfit:
        return f"SBE image for the new keys: {unfit}"
    return ""


def _fitted(
    board: Board, stage: str, raw: memoryview | None, hw_key_hash: bytes
) -> tuple[bytes, SbSettings]:
    """What the SEEPROM of one chip will hold, found good for its next boot."""
    table = profile_of(board.spec.measure).table
    settings = replace(read_settings(board, stage), hw_key_hash=hw_key_hash)
    image = XipImage.from_prefix(board.seeprom.content if raw is None else raw)[0]
    content = sbe_update.fitted(table, image, settings)
    sbe_update.check(table, content, settings)
    return content, settings


def _refuse(board: Board, stage: str, problem: str, mend: str = MEND) -> None:
    """End the boot where a rejection does, else record it and go on."""
    record(board, stage, CODE, 0, problem)
    if enforces(board, stage, CODE):
        reason = f"{SBKT}: {problem}"
        raise BootFailure(stage, Refusal.KEY_TRANSITION, reason, mend)
