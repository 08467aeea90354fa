"""Steps by name and by code."""

from __future__ import annotations

import pytest

from pefstack.hw.mapping import SettingError
from pefstack.hw.tpm_step import TpmStep, step_named


def test_every_step_by_its_name_and_its_code() -> None:
    for step in set(TpmStep) - {TpmStep.SECONDARY_READ}:
        for text in (step.label, str(int(step)), f"0x{step:02x}", f"0X{step:X}"):
            assert step_named(text, "x") is step
    assert step_named("", "x") == 0
    assert TpmStep.SB_VERIFICATION_6.label == "sb-verification-6"


@pytest.mark.parametrize("text", ["0", "28", "0x1c", "-1", "STARTUP", "start", "07"])
def test_other_texts_are_refused_with_a_list(text: str) -> None:
    with pytest.raises(SettingError, match=r"x: found .*, expected a step .*read-id"):
        step_named(text, "x")
