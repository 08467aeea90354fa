"""Verify what a key transition holds, as hostboot ext does (boot-chain.md 1.3)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from pefstack.firmware.key_transition import CODE, MEND, MEND_SBE, SBKT
from pefstack.firmware.profile_row import ProfileTable
from pefstack.firmware.sbe_update import check, fitted
from pefstack.firmware.stage import Refusal
from pefstack.images.container import (
    FLAG_KEY_TRANSITION,
    HEADER_SIZE,
    ContainerHeader,
    component_id,
)
from pefstack.images.container_peek import hw_flags_of, hw_keys_hash_of
from pefstack.images.container_verify import rom_verify
from pefstack.images.errors import FormatError
from pefstack.images.rejection import LOG_GOOD, VerificationError
from pefstack.images.sb_settings import SbSettings
from pefstack.images.xip import XipImage
from pefstack.tools.verification.finding import Finding, Trust, judged, refused

_LABEL: Final = "put each signed container into the partition of its own name"
_STAGE: Final = "hostboot_ext"


def nested_finding(
    outer: memoryview, offset: int, trust: Trust, stage: str = ""
) -> Finding:
    """The nested container against its own keys, the outer one being good.

    ``offset`` is that of the outer one.
    """
    start = Finding(place=CODE, offset=offset, stage=stage)
    flags = hw_flags_of(outer) if len(outer) >= HEADER_SIZE else 0
    if not flags & FLAG_KEY_TRANSITION:
        texts = "hardware flags", f"0x{flags:08x}", "0x1 among them", MEND
        return refused(start, Refusal.KEY_TRANSITION, *texts)
    nested = payload_of(outer)
    if len(nested) < HEADER_SIZE:
        texts = "size", f"0x{len(nested):x} bytes", "at least 0x1000", MEND
        return refused(start, Refusal.KEY_TRANSITION, *texts)
    keys, version = hw_keys_hash_of(nested), trust.minimum_version
    finding = judged(start, nested, lambda: rom_verify(nested, keys, version))
    return _labelled(finding, nested) if finding.good else finding


def image_finding(
    image: bytes, offset: int, outer: memoryview, trust: Trust, table: ProfileTable
) -> Finding:
    """Whether the new keys signed the SBE image that the next boot will run."""
    start = Finding(place="SBE image", offset=offset, stage=_STAGE, rules="SBE")
    settings = SbSettings(
        hw_key_hash=hw_keys_hash_of(payload_of(outer)),
        minimum_secure_version=trust.minimum_version,
    )
    try:
        content = fitted(table, XipImage.from_prefix(image)[0], settings)
        check(table, content, settings)
    except (FormatError, VerificationError) as unfit:
        texts = "SBE image for the new keys", unfit.found, unfit.expected, MEND_SBE
        return refused(start, Refusal.KEY_TRANSITION, *texts)
    return replace(start, good=True, log=LOG_GOOD)


def payload_of(container: memoryview) -> memoryview:
    """The protected payload as the header announces it, as far as there is any."""
    size = ContainerHeader.from_prefix(container).software.payload_size
    return container[HEADER_SIZE : HEADER_SIZE + size]


def _labelled(finding: Finding, nested: memoryview) -> Finding:
    found = ContainerHeader.from_prefix(nested).software.component_id
    if found == component_id(SBKT):
        return finding
    texts = "component id", repr(found), repr(component_id(SBKT)), _LABEL
    return refused(finding, Refusal.COMPONENT_ID, *texts)
