"""Public areas: templates for keys that a TPM makes, and keys made outside."""

from __future__ import annotations

from typing import Any, Final

from lockstep.dice import ALGORITHMS, Dice
from lockstep.policies import policy_for
from lockstep.values import two_b, u16, u32
from tpm_key_kit import aes_areas, ecc_areas, hmac_areas, rsa_areas
from tpm_objects import FIXED, ORIGIN, STORAGE, cipher, ecc, keyed_hash, rsa

USER, ADMIN, NO_DA, ENCRYPTED = 1 << 6, 1 << 7, 1 << 10, 1 << 11
RESTRICTED, DECRYPT, SIGN = 1 << 16, 1 << 17, 1 << 18
NONE: Final = b"\0\x10"
_KINDS: Final = (
    *("storage", "storage", "sealed", "sealed", "hmac", "aes", "sign", "sign"),
    *("decrypt", "attest", "rsa storage", "xor", "free ecc"),
)


def _plain(kind: str, uses: int, policy: bytes, alg: int) -> bytes:
    more: dict[str, Any] = {"policy": policy, "name_alg": alg}
    if kind == "storage":
        return ecc(STORAGE | uses, **more)
    if kind == "rsa storage":
        return rsa(STORAGE | uses, **more)
    if kind == "sealed":
        return keyed_hash(uses & ~ORIGIN, NONE, **more)
    if kind == "hmac":
        return keyed_hash(uses | SIGN, bytes.fromhex("0005000b"), **more)
    if kind == "xor":
        return keyed_hash(uses | DECRYPT, bytes.fromhex("000a000b0022"), **more)
    if kind == "aes":
        return cipher(uses | DECRYPT | SIGN, **more)
    if kind == "sign":
        return ecc(uses | SIGN, NONE, bytes.fromhex("0018000b"), **more)
    if kind == "attest":
        scheme = bytes.fromhex("0018000b")
        return ecc(uses | SIGN | RESTRICTED, NONE, scheme, **more)
    if kind == "decrypt":
        return ecc(uses | DECRYPT, NONE, bytes.fromhex("0019000b"), **more)
    return ecc(uses | SIGN | DECRYPT, NONE, NONE, **more)


def template(dice: Dice) -> tuple[str, bytes]:
    """What kind of object, and its TPMT_PUBLIC; now and then one that is no good."""
    kind = dice.choice(_KINDS)
    alg = dice.hash()
    uses = ORIGIN | dice.mostly(USER, lambda: 0, 4)
    uses |= dice.mostly(FIXED, lambda: dice.choice((0, 0, 2, 16)), 3)
    for bit in (NO_DA, ADMIN, ENCRYPTED, 4):
        if dice.one_in(5) is not (bit == NO_DA):
            uses |= bit
    raw = _plain(kind, uses, policy_for(dice, alg), alg)
    return kind, dice.mostly(raw, lambda: spoilt(dice, raw), 6)


def spoilt(dice: Dice, raw: bytes) -> bytes:
    """The same with an algorithm, an attribute, or any two bytes different."""
    at = dice.randrange(0, len(raw) - 1)
    if dice.one_in(3):
        flags = int.from_bytes(raw[4:8], "big") ^ 1 << dice.randrange(20)
        return raw[:4] + u32(flags) + raw[8:]
    return raw[:at] + u16(dice.choice(ALGORITHMS)) + raw[at + 2 :]


def outside(dice: Dice) -> tuple[str, bytes, bytes, bytes]:
    """Kind, TPMT_PUBLIC, TPMT_SENSITIVE, authValue of a key that comes in whole."""
    kind = dice.choice(("rsa", "rsa", "ecc", "ecc", "hmac", "aes"))
    auth = dice.choice((b"", b"", b"one", b"key"))
    alg = dice.hash() if dice.one_in(4) else 0x0B
    scheme = dice.choice(_SCHEMES[kind])
    uses = USER | dice.choice(_USES[kind]) | dice.choice((0, NO_DA, NO_DA))
    areas = _MAKERS[kind](uses, scheme, auth=auth, name_alg=alg)
    return kind, areas[0], areas[1], auth


_MAKERS: Final = {
    "rsa": rsa_areas,
    "ecc": ecc_areas,
    "hmac": hmac_areas,
    "aes": aes_areas,
}
_SCHEMES: Final = {
    "rsa": ("0010", "0010", "0014000b", "0016000b", "0015", "0017000b"),
    "ecc": ("0010", "0010", "0018000b", "001c000b", "0019000b", "001a000b0000"),
    "hmac": ("0005000b", "0005000b", "0005000c", "0010"),
    "aes": ("000600800043", "000600800042", "000600800044", "000600800010"),
}
_USES: Final = {
    "rsa": (SIGN, DECRYPT, SIGN | DECRYPT),
    "ecc": (SIGN, DECRYPT, SIGN | DECRYPT),
    "hmac": (SIGN, SIGN, DECRYPT),
    "aes": (SIGN | DECRYPT, DECRYPT, SIGN),
}


def sensitive_create(auth: bytes, data: bytes) -> bytes:
    """TPM2B_SENSITIVE_CREATE."""
    return two_b(two_b(auth) + two_b(data))
