"""Small constants: tags, types and operations by number (Part 2, 6.6 to 6.12)."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

TPM_GENERATED_VALUE: Final = 0xFF544347  # magic of every attestation


class TpmSt(IntEnum):
    """TPM_ST: structure tags."""

    RSP_COMMAND = 0x00C4
    NULL = 0x8000
    NO_SESSIONS = 0x8001
    SESSIONS = 0x8002
    ATTEST_NV = 0x8014
    ATTEST_COMMAND_AUDIT = 0x8015
    ATTEST_SESSION_AUDIT = 0x8016
    ATTEST_CERTIFY = 0x8017
    ATTEST_QUOTE = 0x8018
    ATTEST_TIME = 0x8019
    ATTEST_CREATION = 0x801A
    ATTEST_NV_DIGEST = 0x801C
    CREATION = 0x8021
    VERIFIED = 0x8022
    AUTH_SECRET = 0x8023
    HASHCHECK = 0x8024
    AUTH_SIGNED = 0x8025


class TpmSu(IntEnum):
    """TPM_SU: types of Startup and Shutdown."""

    CLEAR = 0
    STATE = 1


class TpmSe(IntEnum):
    """TPM_SE: types of session."""

    HMAC = 0x00
    POLICY = 0x01
    TRIAL = 0x03


class TpmEo(IntEnum):
    """TPM_EO: comparisons of PolicyNV and PolicyCounterTimer."""

    EQ = 0x0000
    NEQ = 0x0001
    SIGNED_GT = 0x0002
    UNSIGNED_GT = 0x0003
    SIGNED_LT = 0x0004
    UNSIGNED_LT = 0x0005
    SIGNED_GE = 0x0006
    UNSIGNED_GE = 0x0007
    SIGNED_LE = 0x0008
    UNSIGNED_LE = 0x0009
    BITSET = 0x000A
    BITCLEAR = 0x000B


class TpmClockAdjust(IntEnum):
    """TPM_CLOCK_ADJUST: a signed byte."""

    COARSE_SLOWER = -3
    MEDIUM_SLOWER = -2
    FINE_SLOWER = -1
    NO_CHANGE = 0
    FINE_FASTER = 1
    MEDIUM_FASTER = 2
    COARSE_FASTER = 3


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
    ACT = 10


class TpmNt(IntEnum):
    """TPM_NT: types of NV index, bits 4 to 7 of its attributes."""

    ORDINARY = 0x0
    COUNTER = 0x1
    BITS = 0x2
    EXTEND = 0x4
    PIN_FAIL = 0x8
    PIN_PASS = 0x9
