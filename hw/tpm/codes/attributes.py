"""TPMA: attributes bit by bit (Part 2, section 8 and 13.4)."""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class TpmaSession(IntEnum):
    """TPMA_SESSION: attribute bits of a session."""

    CONTINUE_SESSION = 0x01
    AUDIT_EXCLUSIVE = 0x02
    AUDIT_RESET = 0x04
    RESERVED = 0x18
    DECRYPT = 0x20
    ENCRYPT = 0x40
    AUDIT = 0x80


class TpmaObject(IntEnum):
    """TPMA_OBJECT: attribute bits of an object."""

    FIXED_TPM = 1 << 1
    ST_CLEAR = 1 << 2
    FIXED_PARENT = 1 << 4
    SENSITIVE_DATA_ORIGIN = 1 << 5
    USER_WITH_AUTH = 1 << 6
    ADMIN_WITH_POLICY = 1 << 7
    NO_DA = 1 << 10
    ENCRYPTED_DUPLICATION = 1 << 11
    RESTRICTED = 1 << 16
    DECRYPT = 1 << 17
    SIGN = 1 << 18  # also "encrypt" of a symmetric key
    X509_SIGN = 1 << 19
    RESERVED = 0xFFF0F309


class TpmaNv(IntEnum):
    """TPMA_NV: attribute bits of an NV index; bits 4 to 7 are a TPM_NT."""

    PPWRITE = 1 << 0
    OWNERWRITE = 1 << 1
    AUTHWRITE = 1 << 2
    POLICYWRITE = 1 << 3
    TYPE = 0xF0
    POLICY_DELETE = 1 << 10
    WRITELOCKED = 1 << 11
    WRITEALL = 1 << 12
    WRITEDEFINE = 1 << 13
    WRITE_STCLEAR = 1 << 14
    GLOBALLOCK = 1 << 15
    PPREAD = 1 << 16
    OWNERREAD = 1 << 17
    AUTHREAD = 1 << 18
    POLICYREAD = 1 << 19
    NO_DA = 1 << 25
    ORDERLY = 1 << 26
    CLEAR_STCLEAR = 1 << 27
    READLOCKED = 1 << 28
    WRITTEN = 1 << 29
    PLATFORMCREATE = 1 << 30
    READ_STCLEAR = 1 << 31
    RESERVED = 0x01F00300


NV_TYPE_SHIFT: Final = 4


class TpmaCc(IntEnum):
    """TPMA_CC: attribute bits of a command beside its code."""

    NV = 1 << 22
    EXTENSIVE = 1 << 23
    FLUSHED = 1 << 24
    C_HANDLES = 7 << 25  # how many handles it takes
    R_HANDLE = 1 << 28
    VENDOR = 1 << 29


class TpmaAlgorithm(IntEnum):
    """TPMA_ALGORITHM: what an algorithm is for."""

    ASYMMETRIC = 1 << 0
    SYMMETRIC = 1 << 1
    HASH = 1 << 2
    OBJECT = 1 << 3
    SIGNING = 1 << 8
    ENCRYPTING = 1 << 9
    METHOD = 1 << 10


class TpmaPermanent(IntEnum):
    """TPMA_PERMANENT: lasting state, property 0x200."""

    OWNER_AUTH_SET = 1 << 0
    ENDORSEMENT_AUTH_SET = 1 << 1
    LOCKOUT_AUTH_SET = 1 << 2
    DISABLE_CLEAR = 1 << 8
    IN_LOCKOUT = 1 << 9
    TPM_GENERATED_EPS = 1 << 10


class TpmaStartupClear(IntEnum):
    """TPMA_STARTUP_CLEAR: state that Startup(CLEAR) sets, property 0x201."""

    PH_ENABLE = 1 << 0
    SH_ENABLE = 1 << 1
    EH_ENABLE = 1 << 2
    PH_ENABLE_NV = 1 << 3
    ORDERLY = 1 << 31
