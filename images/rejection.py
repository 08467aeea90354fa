"""Why a container is rejected: the codes of the verification code, and the log word."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from pefstack.images.errors import PefError

CONTEXT_ROM_VERIFY: Final = 0x100
COMPLETED: Final = 0x3
ERROR_EVENT: Final = 0xFFFFFFFFFFFF8000
LOG_GOOD: Final = CONTEXT_ROM_VERIFY | COMPLETED


class Rejection(IntEnum):
    """Codes as the ROM code and the SBE use them (boot-chain.md 1.3, 1.4)."""

    MAGIC_NUMBER = 0x20
    CONTAINER_VERSION = 0x21
    PREFIX_VER_ALG = 0x22
    HEADER_VER_ALG = 0x23
    HW_KEY_HASH = 0x60
    HW_SIGNATURE = 0x61
    PREFIX_ECID = 0x62
    PREFIX_HASH = 0x63
    SW_KEY_PROTECTION = 0x64
    SW_KEY_COUNT = 0x65
    PREFIX_HEADER_SIZE = 0x66
    PREFIX_PAYLOAD_SIZE = 0x67
    SW_PAYLOAD_SIZE = 0x68
    SW_SIGNATURE = 0x70
    HEADER_ECID = 0x71
    HEADER_HASH = 0x72
    CODE_PROTECTION = 0x73
    COMPONENT_ID = 0x74
    ENTRY_POINT = 0x80
    SECURE_VERSION = 0x90


_SIGN_AGAIN: Final = "sign the container again with the keys of this machine"
_REBUILD: Final = "rebuild the image; the header was changed after it was made"

# what the check looks at, and what to do when it fails
_WORDS: Final[dict[Rejection, tuple[str, str]]] = {
    Rejection.MAGIC_NUMBER: ("container magic", "put a signed container there"),
    Rejection.CONTAINER_VERSION: ("container version", "build a version 1 container"),
    Rejection.PREFIX_VER_ALG: ("prefix version and algorithms", _REBUILD),
    Rejection.HEADER_VER_ALG: ("software header version and algorithm", _REBUILD),
    Rejection.HW_KEY_HASH: ("hash of the hardware keys", _SIGN_AGAIN),
    Rejection.HW_SIGNATURE: ("hardware signatures over the prefix", _SIGN_AGAIN),
    Rejection.PREFIX_ECID: ("prefix ECID count", _REBUILD),
    Rejection.PREFIX_HASH: ("hash of the software keys", _REBUILD),
    Rejection.SW_KEY_PROTECTION: ("size of the protected software keys", _REBUILD),
    Rejection.SW_KEY_COUNT: ("number of software keys", "sign with 1 to 3 keys"),
    Rejection.PREFIX_HEADER_SIZE: ("size of the prefix header", _REBUILD),
    Rejection.PREFIX_PAYLOAD_SIZE: ("size of the prefix payload", _REBUILD),
    Rejection.SW_PAYLOAD_SIZE: ("payload size against the section", _SIGN_AGAIN),
    Rejection.SW_SIGNATURE: ("software signatures", _SIGN_AGAIN),
    Rejection.HEADER_ECID: ("software header ECID count", _REBUILD),
    Rejection.HEADER_HASH: (
        "hash of the payload",
        "restore the payload, or sign the changed one",
    ),
    Rejection.CODE_PROTECTION: (
        "entry point inside the protected payload",
        "make the payload longer or the entry point smaller",
    ),
    Rejection.COMPONENT_ID: ("component id", "put each container in its own place"),
    Rejection.ENTRY_POINT: ("entry point", "use a 4-byte aligned entry point"),
    Rejection.SECURE_VERSION: (
        "security version",
        "use an image whose security version is not below the machine's minimum",
    ),
}


def describe_status(status: int) -> str:
    """A status byte of the SBE, or the low byte of a log word, in words."""
    if status not in Rejection.__members__.values():
        return f"0x{status:02x}, no code that is known here"
    return f"0x{status:02x}, {_WORDS[Rejection(status)][0]}"


class VerificationError(PefError):
    """Well-formed enough to be checked, and rejected by one check.

    ``found`` and ``expected`` are ready for reading; digests stand in full.
    """

    def __init__(self, rejection: Rejection, found: str, expected: str) -> None:
        super().__init__(rejection, found, expected)
        self.rejection = rejection
        self.found = found
        self.expected = expected

    @property
    def log(self) -> int:
        """The 64-bit log word that the real code leaves."""
        return ERROR_EVENT | CONTEXT_ROM_VERIFY | self.rejection

    @property
    def what(self) -> str:
        """What the failed check looks at."""
        return _WORDS[self.rejection][0]

    @property
    def mend(self) -> str:
        """What the person at the terminal can do about it."""
        return _WORDS[self.rejection][1]

    def __str__(self) -> str:
        return (
            f"{self.what} (code 0x{self.rejection:02x}, log=0x{self.log:016x}): "
            f"found {self.found}, expected {self.expected}"
        )
