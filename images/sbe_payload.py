"""What the two containers of the SBE's SEEPROM sign (boot-chain.md 1.4, 3.5)."""

from __future__ import annotations

from pefstack.images.xip import XipImage


def padded(section: bytes) -> bytes:
    """A section as it is hashed and measured: zero-padded to 8."""
    return section + bytes(-len(section) % 8)


def patent_sbe_fw(base: bytes, sb_verification: bytes) -> bytes:
    """The payload of SBE_FW in the profile `patent`: both sections, each padded.

    No container of the real machines covers `.sb_verification`; project decision.
    """
    return padded(base) + padded(sb_verification)


def sbe_fw_payload(image: XipImage, *, patent: bool) -> bytes:
    """What SBE_FW of this image signs; `FormatError` if a section is absent."""
    base = image.section(".base")
    if patent:
        return patent_sbe_fw(base, image.section(".sb_verification"))
    return padded(base)
