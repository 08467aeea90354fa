"""The profile of the patent's figure 7A; where it is silent, boot-chain.md 3.5 decides.

The boot policy's PCR gets five extends: three by the immutable code, the separator by
hostboot ext before it verifies OPAL, the PEF enable bit by OPAL.
"""

from __future__ import annotations

from typing import Final

from pefstack.firmware.profile_common import (
    hostboot_partitions,
    opal_partitions,
    secondary_chips,
)
from pefstack.firmware.profile_row import POLICY, SEPARATED, ProfileTable, Row
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

_ROWS: Final[tuple[Row, ...]] = (
    ("sbe_immutable", "hw-key-hash", POLICY, _HASH, b"HW KEY HASH\0"),
    ("sbe_immutable", "hw-key-hash", 1, _FLAGS, b"HW KEY HASH chip 0\0"),
    ("sbe_immutable", "secure-jumper", POLICY, _HASH, b"SECURE BOOT JUMPER\0"),
    ("sbe_immutable", "sbe-state", 1, _FLAGS, b"SBE Security State chip 0\0"),
    ("sbe_immutable", "sb-verification", 0, _CODE, _VERIFICATION_CODE + b" chip 0\0"),
    ("sbe_immutable", "sb-verification", POLICY, _HASH, _VERIFICATION_CODE + b"\0"),
    (
        "sbe_mutable",
        "sbe-firmware",
        0,
        _CODE,
        b"SBE L1/L2 Boot loaders and Base chip 0\0",
    ),
    ("sbe_mutable", "hbbl", 0, _CODE, b"HBBL\0"),
    ("sbe_mutable", "sbe-switches", 1, _FLAGS, b"Security Switches chip 0\0"),
    ("sbe_mutable", "separator", SEPARATED, EV_SEPARATOR, SEPARATOR_EVENT),
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
    ("hostboot_ext", "policy-separator", POLICY, EV_SEPARATOR, SEPARATOR_EVENT),
    ("hostboot_ext", "payload", 4, _HASH, b"PAYLOAD\0"),
    ("hostboot_ext", "payload-fw-key-hash", 5, _HASH, b"PAYLOAD FW KEY HASH\0"),
    ("hostboot_ext", "separator", SEPARATED, EV_SEPARATOR, SEPARATOR_EVENT),
    ("opal", "pef-enable", POLICY, _HASH, b"PEF ENABLE\0"),
    *opal_partitions(),
    ("opal", "separator", SEPARATED, EV_SEPARATOR, SEPARATOR_EVENT),
)

PATENT: Final = ProfileTable(
    rows=_ROWS, banks=ONE_BANK, loader_is_signed=True, needs_tpm=True
)
