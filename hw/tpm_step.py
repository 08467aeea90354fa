"""Step codes: where a TPM can fail while the SBE works with it (boot-chain.md 3.3)."""

from __future__ import annotations

from enum import IntEnum

from pefstack.hw.mapping import SettingError


class TpmStep(IntEnum):
    """What the SBE leaves in byte 1 of scratch register 11 when that step fails.

    A number behind a name is the PCR. What each of the last four stands for is a
    project decision: the specification gives them to the secondary chips as a group.
    """

    READ_ID = 0x01
    LOCALITY = 0x02
    STARTUP = 0x03
    DETECT = 0x04
    ALLOCATE = 0x05
    POISON = 0x06
    HW_KEY_HASH_6 = 0x07
    HW_KEY_HASH_1 = 0x08
    STATE_6 = 0x09
    STATE_1 = 0x0A
    SB_VERIFICATION_0 = 0x0B
    SB_VERIFICATION_6 = 0x0C
    SBE_FIRMWARE = 0x0D
    HBBL = 0x0E
    SWITCHES = 0x0F
    SEPARATOR_0 = 0x10
    SEPARATOR_1 = 0x11
    SEPARATOR_2 = 0x12
    SEPARATOR_3 = 0x13
    SEPARATOR_4 = 0x14
    SEPARATOR_5 = 0x15
    SEPARATOR_6 = 0x16
    SEPARATOR_7 = 0x17
    SECONDARY_READ = 0x18
    SECONDARY_VERIFICATION = 0x19
    SECONDARY_FIRMWARE = 0x1A
    SECONDARY_STATE = 0x1B

    @property
    def label(self) -> str:
        """The name as a machine file has it."""
        return self.name.lower().replace("_", "-")


def step_named(text: str, key: str) -> int:
    """A step by its name or its code as a text (``0x0d``, ``13``); none for none: 0.

    Raises `SettingError` for a step that there is not, and for the one that does not
    ask the TPM.
    """
    if not text:
        return 0
    by_name = {step.label: step for step in TpmStep}
    step = by_name.get(text) or _by_code(text)
    if step is None:
        there = ", ".join(by_name)
        raise SettingError(key, f"found {text!r}, expected a step or its code: {there}")
    if step is TpmStep.SECONDARY_READ:
        problem = "asks a chip, not the TPM: set `silent` of a secondary chip"
        raise SettingError(key, f"{step.label} {problem}")
    return step


def _by_code(text: str) -> TpmStep | None:
    try:
        return TpmStep(int(text, 0))
    except ValueError:
        return None
