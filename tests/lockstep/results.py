"""The results of a command, field by field: which must be the same everywhere."""

from __future__ import annotations

from typing import Final

from lockstep.accepted import capability
from lockstep.values import Each, alike, number

_WIDTH: Final = {"1": 1, "2": 2, "4": 4, "8": 8}
_QUOTE, _NV, _CERTIFY, _CREATION = 0x8018, 0x8014, 0x8017, 0x801A


class Unlike(Exception):
    """The TPMs do not say the same."""


def split(letters: str, each: Each) -> list[Each]:
    """The fields for these letters (shape.py); `Unlike` when they do not fit."""
    per_side = [_fields(letters, raw) for raw in each]
    return [tuple(values) for values in zip(*per_side, strict=True)]


def _fields(letters: str, raw: bytes) -> list[bytes]:
    found = []
    for letter in letters:
        value, raw = _one(letter, raw)
        found.append(value)
    if raw:
        raise Unlike(f"0x{len(raw):x} bytes after the last result")
    return found


def _one(letter: str, raw: bytes) -> tuple[bytes, bytes]:
    if letter in "GRrKS":
        return raw, b""
    if letter == "T":
        end = 8 + number(raw[6:8])
        return raw[:end], raw[end:]
    if letter in _WIDTH:
        return raw[: _WIDTH[letter]], raw[_WIDTH[letter] :]
    end = 2 + number(raw[:2])
    if end > len(raw):
        raise Unlike("a TPM2B longer than the results")
    return raw[2:end], raw[end:]


def check(letters: str, fields: list[Each], *, determined: bool) -> None:
    """`Unlike` when two TPMs differ where they must not."""
    for position, (letter, each) in enumerate(zip(letters, fields, strict=True)):
        if letter == "G":
            seen = capability(each)
        else:
            seen = [_seen(letter, one, determined=determined) for one in each]
        if any(one != seen[0] for one in seen):
            values = ", ".join(str(one) for one in seen)
            if isinstance(seen[0], dict):
                pairs = [set(one.items()) for one in seen if isinstance(one, dict)]
                values = str(
                    [sorted(one - pairs[-1 - n]) for n, one in enumerate(pairs)]
                )
            raise Unlike(f"result {position + 1}: {values}")


def _seen(letter: str, value: bytes, *, determined: bool) -> object:
    """What must be the same of a field."""
    if letter in "br":
        return None
    if letter == "l" or (letter in "dP" and not determined):
        return len(value)
    if letter == "T":  # tag, hierarchy, whether there is a digest
        return value[:6].hex(), bool(value[8:])
    if letter == "K":  # TPMS_TIME_INFO: resetCount, restartCount
        return value[16:24].hex(), len(value)
    if letter == "S":  # algorithm, hash
        return value[:4].hex()
    if letter == "C":
        return _creation(value)
    if letter == "A":
        return _attested(value, determined=determined)
    return value.hex()


def _creation(value: bytes) -> str:
    """TPMS_CREATION_DATA up to the parent's Name."""
    at = 4
    for _ in range(number(value[:4])):
        at += 3 + value[at + 2]
    at += 2 + number(value[at : at + 2]) + 3
    return f"{value[:at].hex()} of {len(value)}"


def _attested(value: bytes, *, determined: bool) -> tuple[str, ...]:
    """TPMS_ATTEST without the signer, the clock, the firmware version."""
    kind = number(value[4:6])
    rest = value[6:]
    rest = rest[2 + number(rest[:2]) :]  # qualifiedSigner
    size = 2 + number(rest[:2])
    extra, rest = rest[:size], rest[size + 17 + 8 :]
    compared = kind in (_QUOTE, _NV) or (kind in (_CERTIFY, _CREATION) and determined)
    head = value[:6].hex(), extra.hex(), str(len(value))
    return (*head, rest.hex()) if compared else head


def same(each: Each, what: str) -> None:
    """`Unlike` when they are not."""
    if not alike(each):
        raise Unlike(f"{what}: {', '.join(one.hex() for one in each)}")
