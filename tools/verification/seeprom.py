"""Verify the containers of a boot SEEPROM by the rules of the SBE (boot-chain 1.4)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Final, NamedTuple

from pefstack.firmware.stage import Refusal
from pefstack.images.container import HEADER_SIZE
from pefstack.images.container_peek import announced_payload_size
from pefstack.images.container_verify import HBBL, SBE_FW, sbe_verify
from pefstack.images.errors import FormatError
from pefstack.images.sbe_payload import padded, sbe_fw_payload
from pefstack.images.xip import XipImage
from pefstack.tools.verification.finding import Finding, Trust, judged, refused

PATENT: Final = "patent"  # SBE_FW signs .base and .sb_verification
P10: Final = "p10"  # .base alone
FIRMWARE_HEADER: Final = ".sbh_firmware"
HBBL_HEADER: Final = ".sbh_hbbl"
_BUILD: Final = "build the SEEPROM images again with `pef build`"


class _Part(NamedTuple):
    """A container of the SEEPROM; no composition is HBBL's section alone."""

    place: str
    header: str
    component: bytes
    composition: str = ""


def sbe_findings(
    image: XipImage, trust: Trust, composition: str | None = None
) -> Iterator[Finding]:
    """SBE_FW, then HBBL; with no composition SBE_FW is tried as either."""
    composition = composition or _fitting(image)
    firmware = _Part("SBE_FW", FIRMWARE_HEADER, SBE_FW, composition)
    for part in (firmware, _Part("HBBL", HBBL_HEADER, HBBL)):
        yield _finding(image, part, trust)


def _finding(image: XipImage, part: _Part, trust: Trust) -> Finding:
    start = _start(image, part)
    try:
        header = padded(image.section(part.header))
        payload = _payload(image, part.composition)
    except FormatError as broken:
        texts = f"section {broken.field}", broken.found, broken.expected, _BUILD
        return refused(start, Refusal.SEEPROM_FORMAT, *texts)
    if len(header) != HEADER_SIZE:
        sizes = f"0x{len(header):x} bytes", f"0x{HEADER_SIZE:x} bytes"
        what = f"size of {part.header}"
        return refused(start, Refusal.SEEPROM_FORMAT, what, *sizes, _BUILD)
    wanted, least = trust.hash_for(header), trust.minimum_version
    return judged(
        start,
        header,
        lambda: sbe_verify(header, payload, part.component, wanted, least),
    )


def _start(image: XipImage, part: _Part) -> Finding:
    """The first stage that verifies it, and where its header lies."""
    early = part.composition == PATENT
    return Finding(
        place=part.place,
        offset=image.offset(part.header),
        stage="sbe_immutable" if early else "sbe_mutable",
        rules="SBE",
        payload=part.composition,
    )


def _payload(image: XipImage, composition: str) -> bytes:
    """What a container of the SEEPROM signs; no composition is HBBL."""
    if not composition:
        return padded(image.section(".hbbl"))
    return sbe_fw_payload(image, patent=composition == PATENT)


def _fitting(image: XipImage) -> str:
    """The composition whose size the header announces; the patent's if none fits."""
    header = image.sections.get(FIRMWARE_HEADER, b"")
    announced = announced_payload_size(header) if len(header) == HEADER_SIZE else None
    for composition in (PATENT, P10):
        with suppress(FormatError):
            if len(_payload(image, composition)) == announced:
                return composition
    return PATENT
