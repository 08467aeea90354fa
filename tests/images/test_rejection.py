"""Rejections: words for each code, the log word, the way home from another process."""

from __future__ import annotations

import pickle

import pytest

from pefstack.images.errors import PefError
from pefstack.images.rejection import LOG_GOOD, Rejection, VerificationError

# boot-chain.md 1.3 and 1.4
CODES = [
    *(0x20, 0x21, 0x22, 0x23),
    *(0x60, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68),
    *(0x70, 0x71, 0x72, 0x73, 0x74, 0x80, 0x90),
]


def test_the_codes_are_those_of_the_specification() -> None:
    assert sorted(Rejection) == CODES


def test_good_log_word() -> None:
    assert LOG_GOOD == 0x103


@pytest.mark.parametrize("rejection", Rejection)
def test_every_rejection_has_words(rejection: Rejection) -> None:
    refused = VerificationError(rejection, "this", "that")
    assert isinstance(refused, PefError)
    assert refused.what and refused.mend
    assert f"{refused.log:016x}" == f"ffffffffffff81{rejection:02x}"
    assert str(refused) == (
        f"{refused.what} (code 0x{rejection:02x}, "
        f"log=0xffffffffffff81{rejection:02x}): found this, expected that"
    )


def test_no_two_rejections_look_at_the_same() -> None:
    what = {VerificationError(each, "", "").what for each in Rejection}
    assert len(what) == len(Rejection)


def test_a_rejection_survives_pickling() -> None:
    refused = VerificationError(Rejection.HW_SIGNATURE, "this", "that")
    copy = pickle.loads(pickle.dumps(refused))
    assert str(copy) == str(refused)
    assert copy.rejection is Rejection.HW_SIGNATURE
    assert (copy.found, copy.expected) == ("this", "that")
