"""TPM_PT_FIXED and TPM_PT_PCR: what this kind of TPM is (Part 2, tpm.md 1 and 2)."""

from __future__ import annotations

from typing import Final

from pefstack.hw.tpm.codes import (
    MAX_ACTIVE_SESSIONS,
    MAX_CAP_BUFFER,
    MAX_COMMAND_SIZE,
    MAX_DIGEST_BUFFER,
    MAX_DIGEST_SIZE,
    MAX_LOADED_SESSIONS,
    MAX_NV_BUFFER_SIZE,
    MAX_NV_INDEX_SIZE,
    MAX_RESPONSE_SIZE,
    MAX_SYM_DATA,
    PCR_COUNT,
    PCR_SELECT_SIZE,
    TpmPt,
)
from pefstack.hw.tpm.commands.table import CODES
from pefstack.hw.tpm.nv import ORDERLY_COUNT
from pefstack.hw.tpm.pcr import (
    DRTM_MASK,
    EXTEND_MASKS,
    NO_INCREMENT_MASK,
    RESET_MASKS,
    SAVED_MASK,
)
from pefstack.hw.tpm.pcr_group import GROUP_MASK
from pefstack.hw.tpm.state import CLOCK_UPDATE, Internals

PT_FIXED: Final = 0x100
PT_GROUP: Final = 0x100

FIRMWARE_VERSION: Final = 1 << 32  # FIRMWARE_VERSION_1 and 2
_FAMILY: Final = int.from_bytes(b"2.0\0", "big")
_REVISION: Final = 164  # of the library specification: 1.64
_DAY_OF_YEAR, _YEAR = 75, 2021

_FIXED: Final[dict[int, int]] = {
    0x100: _FAMILY,
    0x101: 0,  # LEVEL
    0x102: _REVISION,
    0x103: _DAY_OF_YEAR,
    0x104: _YEAR,
    0x105: int.from_bytes(b"PEFS", "big"),  # MANUFACTURER
    0x106: int.from_bytes(b"pefs", "big"),  # VENDOR_STRING_1 to 4
    0x107: int.from_bytes(b"tack", "big"),
    0x108: 0,
    0x109: 0,
    0x10A: 1,  # VENDOR_TPM_TYPE
    0x10B: FIRMWARE_VERSION >> 32,
    0x10C: FIRMWARE_VERSION & 0xFFFFFFFF,
    0x10D: MAX_DIGEST_BUFFER,  # INPUT_BUFFER
    0x10E: 0,  # HR_TRANSIENT_MIN: set for each TPM
    0x10F: 7,  # HR_PERSISTENT_MIN
    0x110: MAX_LOADED_SESSIONS,  # HR_LOADED_MIN
    0x111: MAX_ACTIVE_SESSIONS,
    0x112: PCR_COUNT,
    0x113: PCR_SELECT_SIZE,
    0x114: 0xFFFF,  # CONTEXT_GAP_MAX
    0x116: 0,  # NV_COUNTERS_MAX: as many as there is room for
    0x117: MAX_NV_INDEX_SIZE,
    0x118: 0x6,  # MEMORY
    0x119: CLOCK_UPDATE,
    0x11A: 0,  # CONTEXT_HASH: set for each TPM
    0x11B: 0x0006,  # CONTEXT_SYM: AES
    0x11C: 256,  # CONTEXT_SYM_SIZE
    0x11D: ORDERLY_COUNT,
    0x11E: MAX_COMMAND_SIZE,
    0x11F: MAX_RESPONSE_SIZE,
    0x120: MAX_DIGEST_SIZE,
    0x121: 0xA84,  # MAX_OBJECT_CONTEXT
    0x122: 0x194,  # MAX_SESSION_CONTEXT
    0x123: _FAMILY,  # PS_FAMILY_INDICATOR and the next four: the platform's documents
    0x124: 0,
    0x125: _REVISION,
    0x126: _DAY_OF_YEAR,
    0x127: _YEAR,
    0x128: MAX_SYM_DATA,  # SPLIT_MAX
    0x129: 0,  # TOTAL_COMMANDS: set for each TPM
    0x12A: 0,  # LIBRARY_COMMANDS: the same
    0x12B: 0,  # VENDOR_COMMANDS
    0x12C: MAX_NV_BUFFER_SIZE,
    0x12D: 0,  # MODES
    0x12E: MAX_CAP_BUFFER,
}

PCR_PROPERTIES: Final[dict[int, int]] = {
    0x00: SAVED_MASK,
    **{0x01 + 2 * locality: mask for locality, mask in enumerate(EXTEND_MASKS)},
    **{0x02 + 2 * locality: mask for locality, mask in enumerate(RESET_MASKS[:4])},
    0x0A: DRTM_MASK,  # RESET_L4: by the hash sequence, never by PCR_Reset
    0x11: NO_INCREMENT_MASK,
    0x12: DRTM_MASK,
    0x13: GROUP_MASK,  # POLICY
    0x14: GROUP_MASK,  # AUTH
}


def fixed_properties(inner: Internals) -> dict[int, int]:
    """PT_FIXED, in rising order."""
    settings = inner.settings
    count = len(CODES)
    return _FIXED | {
        TpmPt.HR_TRANSIENT_MIN: settings.transient_slots,
        TpmPt.CONTEXT_HASH: max(settings.digest_sizes),
        TpmPt.TOTAL_COMMANDS: count,
        TpmPt.LIBRARY_COMMANDS: count,
    }
