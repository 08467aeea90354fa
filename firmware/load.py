"""Load a container from a flash partition, verify it, put it into memory."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from pefstack.firmware.partitions import Partition, partition, read_container
from pefstack.firmware.stage import BootFailure, Refusal
from pefstack.firmware.verification import accept
from pefstack.hw.board import Board
from pefstack.images.container import HEADER_SIZE, component_id
from pefstack.images.container_peek import announced_payload_size
from pefstack.images.container_verify import Verified, rom_verify
from pefstack.images.sb_settings import SbSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A container from flash: its bytes, the hash that is measured, its verdict.

    ``place`` is the partition that it lies in.
    ``verified`` is None where security is off and the container was rejected.
    """

    container: memoryview
    place: Partition
    payload_digest: bytes
    verified: Verified | None

    @property
    def room(self) -> int:
        """What the partition holds, in bytes of data."""
        return self.place.room


def load(
    board: Board,
    stage: str,
    name: str,
    settings: SbSettings,
    *,
    secure: bool | None = None,
) -> Loaded:
    """Read the partition, verify its container by boot-chain.md 1.3, hash its payload.

    With security on any rejection ends the boot; with security off it is recorded and
    the computed hash is what gets measured (1.5). ``secure`` is for a stage that does
    not ask the chip whether security is on.
    """
    enforced = board.chip.secure if secure is None else secure
    place = partition(board, stage, name)
    container = read_container(board, stage, place)
    verified = accept(
        board,
        stage,
        name,
        lambda: rom_verify(
            container, settings.hw_key_hash, settings.minimum_secure_version
        ),
        secure=enforced,
    )
    if verified is not None:
        return Loaded(
            container=container,
            place=place,
            payload_digest=verified.software.payload_hash,
            verified=verified,
        )
    payload = _unverified_payload(stage, name, container)
    return Loaded(
        container=container,
        place=place,
        payload_digest=hashlib.sha512(payload).digest(),
        verified=None,
    )


def check_label(board: Board, stage: str, name: str, loaded: Loaded) -> None:
    """The component id is the partition's name: no swapping of signed partitions."""
    if not board.chip.secure or loaded.verified is None:
        return
    found = loaded.verified.software.component_id
    if found != component_id(name):
        raise BootFailure(
            stage,
            Refusal.COMPONENT_ID,
            f"{name}: component id: found {found!r}, expected {component_id(name)!r}",
            "put each signed container into the partition of its own name",
        )


def check_size(board: Board, stage: str, name: str, loaded: Loaded) -> None:
    """Hostboot: the container size covers the payload and fits the partition."""
    if not board.chip.secure or loaded.verified is None:
        return
    found = int.from_bytes(loaded.container[6:14], "big")
    least = HEADER_SIZE + loaded.verified.software.payload_size
    if not least <= found <= loaded.room:
        raise BootFailure(
            stage,
            Refusal.CONTAINER_SIZE,
            f"{name}: container size: found 0x{found:x}, expected 0x{least:x} to "
            f"0x{loaded.room:x}",
            "build the container again; this field is not signed",
        )


def _unverified_payload(stage: str, name: str, container: memoryview) -> memoryview:
    """The payload by an untrusted header: its length is at least in range (1.5)."""
    payload = container[HEADER_SIZE:]
    announced = announced_payload_size(container)
    if announced is not None and announced > len(payload):
        raise BootFailure(
            stage,
            Refusal.CONTAINER_SIZE,
            f"{name}: payload size: found 0x{announced:x}, expected at most "
            f"0x{len(payload):x}",
            "put a container there, also where security is off",
        )
    return payload
