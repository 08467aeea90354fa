"""Numbers of ultra-calls and hypercalls, and what they answer (esm.md 3.1)."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

PAGE_SHIFT: Final = 16
PAGE_SIZE: Final = 1 << PAGE_SHIFT
PAGE_IN_SHARED: Final = 1  # flag of H_SVM_PAGE_IN
TPM_EXECUTE, TPM_CLOSE = 1, 2  # operations of H_SVM_TPM_COMM
TPM_RESPONSE_SIZE: Final = 4096


class UvStatus(IntEnum):
    """What an ultra-call answers in r3."""

    SUCCESS = 0
    FUNCTION = -2
    PARAMETER = -4
    RETRY = -5
    PERMISSION = -11
    P2 = -55
    P3 = -56
    P4 = -57
    P5 = -58
    BAD_MODE = -59
    STATE = -75


class UvCall(IntEnum):
    """Numbers of ultra-calls, in r3."""

    WRITE_PATE = 0xF104
    RESTRICTED_SPR_WRITE = 0xF108
    RESTRICTED_SPR_READ = 0xF10C
    ESM = 0xF110
    READ_SCOM = 0xF114
    WRITE_SCOM = 0xF118
    RETURN = 0xF11C
    REGISTER_MEM_SLOT = 0xF120
    UNREGISTER_MEM_SLOT = 0xF124
    PAGE_IN = 0xF128
    PAGE_OUT = 0xF12C
    SHARE_PAGE = 0xF130
    UNSHARE_PAGE = 0xF134
    PAGE_INVAL = 0xF138
    SVM_TERMINATE = 0xF13C
    UNSHARE_ALL_PAGES = 0xF140
    READ_MEM = 0xF144
    WRITE_MEM = 0xF148
    ESMB_GET_FILE = 0xF14C
    SEND_SBE_COMMAND = 0xF150


class HCall(IntEnum):
    """Numbers of the hypercalls that the ultravisor makes, and H_RTAS."""

    RTAS = 0xF000
    SVM_PAGE_IN = 0xEF00
    SVM_PAGE_OUT = 0xEF04
    SVM_INIT_START = 0xEF08
    SVM_INIT_DONE = 0xEF0C
    SVM_TPM_COMM = 0xEF10
    SVM_INIT_ABORT = 0xEF14


class HStatus(IntEnum):
    """What a hypercall answers in r3."""

    SUCCESS = 0
    NOT_AVAILABLE = 3
    HARDWARE = -1
    FUNCTION = -2
    PARAMETER = -4
    RESOURCE = -16
    P2 = -55
    P3 = -56
    UNSUPPORTED = -67
    STATE = -75
