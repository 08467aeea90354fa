"""TPM_RC: the response codes by name, and what one says in words (Part 2, tpm.md 7)."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

RC_FMT1: Final = 0x080  # set: an error about a handle, parameter or session
RC_P: Final = 0x040  # in format one: about a parameter
RC_S: Final = 0x800  # in format one: about a session
RC_1: Final = 0x100  # in format one: the first; n * RC_1 the n-th


class TpmRc(IntEnum):
    """TPM_RC without the part that says where."""

    SUCCESS = 0x000
    BAD_TAG = 0x01E
    INITIALIZE = 0x100
    FAILURE = 0x101
    SEQUENCE = 0x103
    PRIVATE = 0x10B
    HMAC = 0x119
    DISABLED = 0x120
    EXCLUSIVE = 0x121
    AUTH_TYPE = 0x124
    AUTH_MISSING = 0x125
    POLICY = 0x126
    PCR = 0x127
    PCR_CHANGED = 0x128
    UPGRADE = 0x12D
    TOO_MANY_CONTEXTS = 0x12E
    AUTH_UNAVAILABLE = 0x12F
    REBOOT = 0x130
    UNBALANCED = 0x131
    COMMAND_SIZE = 0x142
    COMMAND_CODE = 0x143
    AUTHSIZE = 0x144
    AUTH_CONTEXT = 0x145
    NV_RANGE = 0x146
    NV_SIZE = 0x147
    NV_LOCKED = 0x148
    NV_AUTHORIZATION = 0x149
    NV_UNINITIALIZED = 0x14A
    NV_SPACE = 0x14B
    NV_DEFINED = 0x14C
    BAD_CONTEXT = 0x150
    CPHASH = 0x151
    PARENT = 0x152
    NEEDS_TEST = 0x153
    NO_RESULT = 0x154
    SENSITIVE = 0x155
    ASYMMETRIC = 0x081
    ATTRIBUTES = 0x082
    HASH = 0x083
    VALUE = 0x084
    HIERARCHY = 0x085
    KEY_SIZE = 0x087
    MGF = 0x088
    MODE = 0x089
    TYPE = 0x08A
    HANDLE = 0x08B
    KDF = 0x08C
    RANGE = 0x08D
    AUTH_FAIL = 0x08E
    NONCE = 0x08F
    PP = 0x090
    SCHEME = 0x092
    SIZE = 0x095
    SYMMETRIC = 0x096
    TAG = 0x097
    SELECTOR = 0x098
    INSUFFICIENT = 0x09A
    SIGNATURE = 0x09B
    KEY = 0x09C
    POLICY_FAIL = 0x09D
    INTEGRITY = 0x09F
    TICKET = 0x0A0
    RESERVED_BITS = 0x0A1
    BAD_AUTH = 0x0A2
    EXPIRED = 0x0A3
    POLICY_CC = 0x0A4
    BINDING = 0x0A5
    CURVE = 0x0A6
    ECC_POINT = 0x0A7
    CONTEXT_GAP = 0x901
    OBJECT_MEMORY = 0x902
    SESSION_MEMORY = 0x903
    MEMORY = 0x904
    SESSION_HANDLES = 0x905
    OBJECT_HANDLES = 0x906
    LOCALITY = 0x907
    YIELDED = 0x908
    CANCELED = 0x909
    TESTING = 0x90A
    REFERENCE_H0 = 0x910
    REFERENCE_H1 = 0x911
    REFERENCE_H2 = 0x912
    REFERENCE_H3 = 0x913
    REFERENCE_H4 = 0x914
    REFERENCE_H5 = 0x915
    REFERENCE_H6 = 0x916
    REFERENCE_S0 = 0x918
    REFERENCE_S1 = 0x919
    REFERENCE_S2 = 0x91A
    REFERENCE_S3 = 0x91B
    REFERENCE_S4 = 0x91C
    REFERENCE_S5 = 0x91D
    REFERENCE_S6 = 0x91E
    NV_RATE = 0x920
    LOCKOUT = 0x921
    RETRY = 0x922
    NV_UNAVAILABLE = 0x923
    NOT_USED = 0x97F


_PLACE: Final = 0xF40  # the bits that say where
_NAME: Final = {int(rc): f"TPM_RC_{rc.name}" for rc in TpmRc.__members__.values()}


class Refusal(Exception):
    """A command ends here; ``rc`` may still lack the part that says where."""

    def __init__(self, rc: int) -> None:
        super().__init__(rc)
        self.rc = rc


def at(place: int, check: Callable[P, T], *args: P.args, **words: P.kwargs) -> T:
    """What ``check`` gives; a refusal of it without a place gets ``place``.

    Codes of format zero have no place.
    """
    try:
        return check(*args, **words)
    except Refusal as refusal:
        rc = refusal.rc
        bare = rc & RC_FMT1 and not rc & _PLACE
        raise Refusal(rc + place if bare else rc) from None


def describe(rc: int) -> str:
    """The name of a response code and where it points: "TPM_RC_VALUE, parameter 1"."""
    if not rc & RC_FMT1:
        return _NAME.get(rc, f"unknown response code 0x{rc:03x}")
    base, where = rc & 0x0BF, rc >> 8
    if base not in _NAME or rc > 0xFFF:
        return f"unknown response code 0x{rc:03x}"
    place = _place(bool(rc & RC_P), where)
    return f"{_NAME[base]}, {place}" if place else _NAME[base]


def _place(is_parameter: bool, where: int) -> str:
    if is_parameter:
        return f"parameter {where}"
    if where >= 8:
        return f"session {where - 8}"
    return f"handle {where}" if where else ""
