"""Policies that a generator can satisfy: their digests, and the commands to run."""

from __future__ import annotations

from typing import Final

from lockstep.dice import DIGEST_SIZE, Dice
from lockstep.values import u8, u32
from tpm_client_kit import hash_of

# command, parameters; each alone makes a policy
RECIPES: Final = (
    (0x16B, b""),
    (0x18C, b""),
    (0x16C, u32(0x137)),
    (0x16C, u32(0x14E)),
    (0x16C, u32(0x148)),
    (0x16C, u32(0x150)),
    (0x16C, u32(0x13B)),
    (0x16C, u32(0x11F)),
    (0x16C, u32(0x14B)),
    (0x16C, u32(0x147)),
    (0x16F, u8(1)),
    (0x16F, u8(8)),
    (0x18F, u8(0)),
    (0x18F, u8(1)),
)


def _digest(alg: int, code: int, params: bytes) -> bytes:
    named = 0x16B if code == 0x18C else code
    return hash_of(alg, bytes(DIGEST_SIZE[alg]), u32(named), params)


BY_DIGEST: Final = {
    _digest(alg, code, params): (alg, code, params)
    for alg in DIGEST_SIZE
    for code, params in RECIPES
}


def policy_for(dice: Dice, alg: int) -> bytes:
    """No policy, or one of these; random bytes for an algorithm that is none."""
    if alg not in DIGEST_SIZE:
        return dice.randbytes(32)
    if dice.one_in(3):
        return b""
    return _digest(alg, *dice.choice(RECIPES))
