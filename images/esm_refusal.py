"""Why an ESM operand is refused: the names of esm.md 5.7, and the error."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from pefstack.images.errors import RefusedError

NAME: Final = "ESM operand"


class OperandRefusal(StrEnum):
    """In the order of the checks; the first that fails decides."""

    SHORT = "E_SHORT"
    MAGIC = "E_MAGIC"
    VERSION = "E_VERSION"
    HEADER = "E_HEADER"
    LIMIT = "E_LIMIT"
    SIZE = "E_SIZE"
    LAYOUT = "E_LAYOUT"
    TRAILING = "E_TRAILING"
    SLOT_KIND = "E_SLOT_KIND"
    SLOT_FLAGS = "E_SLOT_FLAGS"
    SLOT_USED = "E_SLOT_USED"
    SLOT_PAD = "E_SLOT_PAD"
    SLOT_DUP = "E_SLOT_DUP"
    SLOT_BODY = "E_SLOT_BODY"
    PAY_SHORT = "E_PAY_SHORT"
    PAY_MAGIC = "E_PAY_MAGIC"
    PAY_VERSION = "E_PAY_VERSION"
    PAY_HEADER = "E_PAY_HEADER"
    ALG = "E_ALG"
    PAY_LIMIT = "E_PAY_LIMIT"
    NO_SLOT = "E_NO_SLOT"
    UNSEAL = "E_UNSEAL"
    SEED = "E_SEED"
    MAC = "E_MAC"
    TOC_TYPE = "E_TOC_TYPE"
    TOC_FLAGS = "E_TOC_FLAGS"
    TOC_RANGE = "E_TOC_RANGE"
    TOC_NAME = "E_TOC_NAME"
    TOC_PAD = "E_TOC_PAD"
    INTEGRITY = "E_INTEGRITY"
    MUST_UNDERSTAND = "E_MUST_UNDERSTAND"
    ROLLBACK = "E_ROLLBACK"
    DIGEST = "E_DIGEST"


class OperandError(RefusedError[OperandRefusal]):
    """An operand that is refused; offsets count from the start of the operand.

    In a block that was decrypted they count from the start of that block.
    """

    FORMAT = NAME


def check_number(
    refusal: OperandRefusal, field: str, offset: int, found: int, expected: int
) -> None:
    """Refuse a number that is not the one expected."""
    if found != expected:
        raise OperandError(refusal, field, offset, f"0x{found:x}", f"0x{expected:x}")


def check_range(
    refusal: OperandRefusal, field: str, offset: int, found: int, allowed: range
) -> None:
    """Refuse a number that is not in a range of step 1."""
    if found not in allowed:
        limit = f"0x{allowed.start:x} to 0x{allowed.stop - 1:x}"
        raise OperandError(refusal, field, offset, f"0x{found:x}", limit)


def check_zero(refusal: OperandRefusal, field: str, offset: int, raw: bytes) -> None:
    """Refuse bytes that are not all zero; the offset is made that of the first."""
    rest = raw.lstrip(b"\0")
    if rest:
        at = offset + len(raw) - len(rest)
        raise OperandError(refusal, field, at, f"0x{rest[0]:02x}", "zero bytes")
