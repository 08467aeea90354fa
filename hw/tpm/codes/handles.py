"""TPM_HT and TPM_RH: handles by their first byte and by number (Part 2, 7.2 to 7.5)."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

HANDLE_TYPE_SHIFT: Final = 24
TPM_RH_UNASSIGNED: Final = 0x40000008  # stands where no handle is
PLATFORM_PERSISTENT: Final = 0x81800000  # the platform's half of persistent handles


class TpmHt(IntEnum):
    """TPM_HT: the first byte of a handle."""

    PCR = 0x00
    NV_INDEX = 0x01
    HMAC_SESSION = 0x02
    POLICY_SESSION = 0x03
    PERMANENT = 0x40
    TRANSIENT = 0x80
    PERSISTENT = 0x81


HMAC_FIRST: Final = TpmHt.HMAC_SESSION << HANDLE_TYPE_SHIFT
POLICY_FIRST: Final = TpmHt.POLICY_SESSION << HANDLE_TYPE_SHIFT


class TpmRh(IntEnum):
    """TPM_RH: permanent handles, all that GetCapability lists."""

    OWNER = 0x40000001
    NULL = 0x40000007
    PW = 0x40000009  # TPM_RS_PW, the password session
    LOCKOUT = 0x4000000A
    ENDORSEMENT = 0x4000000B
    PLATFORM = 0x4000000C
    PLATFORM_NV = 0x4000000D
