"""Constants of TPM 2.0 by the names of the specification (Part 2 Structures)."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

HEADER_SIZE: Final = 10
MAX_COMMAND_SIZE: Final = 4096  # tpm.md 1, as the next ten
MAX_RESPONSE_SIZE: Final = 4096
MAX_DIGEST_SIZE: Final = 64
MAX_DIGEST_BUFFER: Final = 1024  # the input buffer
MAX_NV_BUFFER_SIZE: Final = 1024
MAX_NV_INDEX_SIZE: Final = 2048
MAX_CAP_BUFFER: Final = 1024
MAX_SYM_DATA: Final = 128
MAX_SESSION_NUM: Final = 3
MAX_LOADED_SESSIONS: Final = 3
MAX_ACTIVE_SESSIONS: Final = 64
MAX_LOADED_OBJECTS: Final = 3
PCR_COUNT: Final = 24
PCR_SELECT_SIZE: Final = PCR_COUNT // 8
MAX_PCR_DIGESTS: Final = 8  # of TPML_DIGEST, so of one PCR_Read
LOCALITY_COUNT: Final = 5


class TpmSt(IntEnum):
    """TPM_ST: structure tags."""

    NO_SESSIONS = 0x8001
    SESSIONS = 0x8002


class TpmSu(IntEnum):
    """TPM_SU: types of Startup and Shutdown."""

    CLEAR = 0
    STATE = 1


class TpmAlgId(IntEnum):
    """TPM_ALG_ID: the hash algorithms that can be PCR banks."""

    SHA1 = 0x0004
    SHA256 = 0x000B
    SHA384 = 0x000C
    SHA512 = 0x000D


DIGEST_SIZE: Final[dict[int, int]] = {
    TpmAlgId.SHA1: 20,
    TpmAlgId.SHA256: 32,
    TpmAlgId.SHA384: 48,
    TpmAlgId.SHA512: 64,
}
BANK_NAME: Final[dict[int, str]] = {
    int(alg): alg.name.lower() for alg in TpmAlgId.__members__.values()
}


class TpmCc(IntEnum):
    """TPM_CC: command codes."""

    PCR_ALLOCATE = 0x12B
    PCR_EVENT = 0x13C
    PCR_RESET = 0x13D
    SELF_TEST = 0x143
    STARTUP = 0x144
    SHUTDOWN = 0x145
    STIR_RANDOM = 0x146
    GET_CAPABILITY = 0x17A
    GET_RANDOM = 0x17B
    GET_TEST_RESULT = 0x17C
    PCR_READ = 0x17E
    POLICY_PCR = 0x17F
    READ_CLOCK = 0x181
    PCR_EXTEND = 0x182


class TpmCap(IntEnum):
    """TPM_CAP: what GetCapability can be asked for."""

    ALGS = 0
    HANDLES = 1
    COMMANDS = 2
    PP_COMMANDS = 3
    AUDIT_COMMANDS = 4
    PCRS = 5
    TPM_PROPERTIES = 6
    PCR_PROPERTIES = 7
    ECC_CURVES = 8
    AUTH_POLICIES = 9


class TpmHt(IntEnum):
    """TPM_HT: the first byte of a handle."""

    PCR = 0x00
    NV_INDEX = 0x01
    HMAC_SESSION = 0x02
    POLICY_SESSION = 0x03
    PERMANENT = 0x40
    TRANSIENT = 0x80
    PERSISTENT = 0x81


class TpmRh(IntEnum):
    """TPM_RH: permanent handles."""

    OWNER = 0x40000001
    NULL = 0x40000007
    PW = 0x40000009  # TPM_RS_PW, the password session
    LOCKOUT = 0x4000000A
    ENDORSEMENT = 0x4000000B
    PLATFORM = 0x4000000C
    PLATFORM_NV = 0x4000000D


class TpmaSession(IntEnum):
    """TPMA_SESSION: attribute bits of a session."""

    CONTINUE_SESSION = 0x01
    AUDIT_EXCLUSIVE = 0x02
    AUDIT_RESET = 0x04
    RESERVED = 0x18
    DECRYPT = 0x20
    ENCRYPT = 0x40
    AUDIT = 0x80
