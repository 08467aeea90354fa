"""The profile of POWER10 machines (boot-chain.md 3.3), in the order of a boot.

Nothing is verified before the SB verification code runs: it is measured only. Every
separator goes to PCRs 0 to 7, so that the boot policy's PCR gets three.
"""

from __future__ import annotations

from typing import Final

from pefstack.firmware.profile_common import (
    hostboot_partitions,
    opal_partitions,
    secondary_chips,
)
from pefstack.firmware.profile_row import ProfileTable, Row
from pefstack.images.container import FLAG_HASH_PAGE_TABLE
from pefstack.images.event_log import (
    EV_COMPACT_HASH,
    EV_PLATFORM_CONFIG_FLAGS,
    EV_S_CRTM_CONTENTS,
    EV_SEPARATOR,
)
from pefstack.images.event_log_build import ONE_BANK, SEPARATOR_EVENT

_CODE = EV_S_CRTM_CONTENTS
_FLAGS = EV_PLATFORM_CONFIG_FLAGS
_HASH = EV_COMPACT_HASH
_VERIFICATION_CODE = b"SBE Secure Boot Validation Code"
_SBE_FIRMWARE = b"SBE L1/L2 Boot loaders and Base chip 0\0"


def _separators(stage: str) -> tuple[Row, ...]:
    return tuple(
        (stage, "separator", pcr, EV_SEPARATOR, SEPARATOR_EVENT) for pcr in range(8)
    )


_ROWS: Final[tuple[Row, ...]] = (
    ("sbe_immutable", "hw-key-hash", 6, _HASH, b"HW KEY HASH\0"),
    ("sbe_immutable", "hw-key-hash", 1, _FLAGS, b"HW KEY HASH chip 0\0"),
    ("sbe_immutable", "security-state", 6, _HASH, b"SBE Security State\0"),
    ("sbe_immutable", "sbe-state", 1, _FLAGS, b"SBE Security State chip 0\0"),
    ("sbe_immutable", "sb-verification", 0, _CODE, _VERIFICATION_CODE + b" chip 0\0"),
    ("sbe_immutable", "sb-verification", 6, _HASH, _VERIFICATION_CODE + b"\0"),
    ("sbe_mutable", "sbe-firmware", 0, _CODE, _SBE_FIRMWARE),
    ("sbe_mutable", "hbbl", 0, _CODE, b"HBBL\0"),
    ("sbe_mutable", "sbe-switches", 1, _FLAGS, b"Security Switches chip 0\0"),
    *_separators("sbe_mutable"),
    ("hostboot_loader", "hbb", 0, _CODE, b"HBB\0"),
    ("hostboot_init", "hbb-fw-key-hash", 1, _FLAGS, b"HBB FW KEY HASH\0"),
    ("hostboot_init", "hbi", 0, _CODE, b"HBI\0"),
    ("hostboot_init", "hbi-fw-key-hash", 1, _FLAGS, b"HBI FW KEY HASH\0"),
    ("hostboot_ext", "security-switches", 1, _FLAGS, b"Security Switches\0"),
    ("hostboot_ext", "pvr", 1, _FLAGS, b"PVR of Chip\0"),
    ("hostboot_ext", "node-id", 1, _FLAGS, b"Node id\0"),
    ("hostboot_ext", "node-id", 4, _HASH, b"Node id\0"),
    ("hostboot_ext", "node-id", 5, _HASH, b"Node id\0"),
    ("hostboot_ext", "tpm-required", 1, _FLAGS, b"TPM Required\0"),
    *secondary_chips(),
    *hostboot_partitions(),
    ("hostboot_ext", "payload", 4, _HASH, b"PAYLOAD\0"),
    ("hostboot_ext", "payload-fw-key-hash", 5, _HASH, b"PAYLOAD FW KEY HASH\0"),
    *_separators("hostboot_ext"),
    *opal_partitions(),
    *_separators("opal"),
)

# HBRT and HBD in some builds only (1.7); the flag says which
_PAGED: Final = ("HBI", "HBD", "SBE", "MEMD", "HCODE", "WOFDATA", "HBRT", "OCMBFW")

P10: Final = ProfileTable(
    rows=_ROWS,
    banks=ONE_BANK,
    loader_is_signed=False,
    paged=_PAGED,
    page_flag=FLAG_HASH_PAGE_TABLE,
)
