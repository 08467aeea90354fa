"""Rows that several profiles share: partitions, and who measures them (3.3, 3.4)."""

from __future__ import annotations

from typing import Final

from pefstack.firmware.profile_row import Row
from pefstack.images.event_log import (
    EV_COMPACT_HASH,
    EV_PLATFORM_CONFIG_FLAGS,
    EV_POST_CODE,
    EV_S_CRTM_CONTENTS,
)

# what Hostboot brings in beside HBI and PAYLOAD; the four are core code to it
_CORE: Final = ("HBD", "SBE", "HBBL")
_OTHER: Final = ("SBKT", "VERSION", "OCC", "MEMD", "HCODE", "WOFDATA", "HBRT", "OCMBFW")
OPAL_PARTITIONS: Final = ("VERSION", "IMA_CATALOG", "CAPP", "UVISOR", "BOOTKERNEL")


def hostboot_partitions() -> tuple[Row, ...]:
    """PCR0 for each partition, and its software keys into the following PCR."""
    types = dict.fromkeys(_CORE, EV_S_CRTM_CONTENTS)
    types |= dict.fromkeys(_OTHER, EV_POST_CODE)
    rows: list[Row] = []
    for name, event_type in types.items():
        what, text = name.lower(), name.encode()
        keys = text + b" FW KEY HASH\0"
        rows.append(("hostboot_ext", what, 0, event_type, text + b"\0"))
        rows.append(
            ("hostboot_ext", f"{what}-fw-key-hash", 1, EV_PLATFORM_CONFIG_FLAGS, keys)
        )
    return tuple(rows)


def secondary_chips() -> tuple[Row, ...]:
    """What a secondary chip's SBE measured; the text gets the chip's number.

    Verification code and SBE firmware as the published SBE extends them, PCR1 after
    them: the specification gives no order there (project decision).
    """
    code, flags = EV_S_CRTM_CONTENTS, EV_PLATFORM_CONFIG_FLAGS
    rows = (
        ("secondary-verification", 0, code, b"SBE Secure Boot Validation Code"),
        ("secondary-firmware", 0, code, b"SBE L1/L2 Boot loaders and Base"),
        ("secondary-keys", 1, flags, b"HW KEY HASH"),
        ("secondary-state", 1, flags, b"SBE Security State"),
        ("secondary-switches", 1, flags, b"Security Switches"),
    )
    return tuple(
        ("hostboot_ext", what, pcr, event_type, text + b" chip 0\0")
        for what, pcr, event_type, text in rows
    )


def opal_partitions() -> tuple[Row, ...]:
    """PCR4 for each; OPAL's texts have no NUL."""
    return tuple(
        ("opal", name.lower(), 4, EV_COMPACT_HASH, name.encode())
        for name in OPAL_PARTITIONS
    )
