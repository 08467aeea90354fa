"""Which step with the TPM has which code, and who writes it down (3.3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pefstack.hw.tpm_step import TpmStep

Key = tuple[str, str, int]  # stage, subject, PCR; 6 is the boot policy's
STARTERS: Final = ("sbe_immutable", "hostboot_ext")  # Hostboot on POWER9

_STARTING: Final = {
    "read-id": TpmStep.READ_ID,
    "locality": TpmStep.LOCALITY,
    "startup": TpmStep.STARTUP,
    "detect": TpmStep.DETECT,
    "allocate": TpmStep.ALLOCATE,
}
_EXTENDS: Final[dict[Key, TpmStep]] = {
    ("sbe_immutable", "hw-key-hash", 6): TpmStep.HW_KEY_HASH_6,
    ("sbe_immutable", "hw-key-hash", 1): TpmStep.HW_KEY_HASH_1,
    ("sbe_immutable", "security-state", 6): TpmStep.STATE_6,
    ("sbe_immutable", "secure-jumper", 6): TpmStep.STATE_6,
    ("sbe_immutable", "sbe-state", 1): TpmStep.STATE_1,
    ("sbe_immutable", "sb-verification", 0): TpmStep.SB_VERIFICATION_0,
    ("sbe_immutable", "sb-verification", 6): TpmStep.SB_VERIFICATION_6,
    ("sbe_mutable", "sbe-firmware", 0): TpmStep.SBE_FIRMWARE,
    ("sbe_mutable", "hbbl", 0): TpmStep.HBBL,
    ("sbe_mutable", "sbe-switches", 1): TpmStep.SWITCHES,
    ("hostboot_ext", "secondary-read", 0): TpmStep.SECONDARY_READ,
    ("hostboot_ext", "secondary-verification", 0): TpmStep.SECONDARY_VERIFICATION,
    ("hostboot_ext", "secondary-firmware", 0): TpmStep.SECONDARY_FIRMWARE,
    ("hostboot_ext", "secondary-keys", 1): TpmStep.SECONDARY_STATE,
    ("hostboot_ext", "secondary-state", 1): TpmStep.SECONDARY_STATE,
    ("hostboot_ext", "secondary-switches", 1): TpmStep.SECONDARY_STATE,
}


def _all() -> Iterator[tuple[Key, TpmStep]]:
    yield from _EXTENDS.items()
    for stage in STARTERS:
        for what, step in _STARTING.items():
            yield (stage, what, 0), step
        for pcr in range(8):
            yield (stage, "poison", pcr), TpmStep.POISON
    for pcr in range(8):
        yield ("sbe_mutable", "separator", pcr), TpmStep(TpmStep.SEPARATOR_0 + pcr)


STEPS: Final[dict[Key, TpmStep]] = dict(_all())


def is_recorded(stage: str, what: str) -> bool:
    """Whether the SBE writes the step down: its own, and those of its chip-op."""
    return stage.startswith("sbe_") or what.startswith("secondary-")
