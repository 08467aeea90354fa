"""The names of the response codes, and codes that a real TPM answered."""

import pickle

import pytest

from pefstack.hw.errors import DeviceError
from pefstack.hw.tpm.client import TpmError
from pefstack.hw.tpm.engine import Tpm
from pefstack.hw.tpm.response_codes import TpmRc, describe
from pefstack.images.errors import PefError
from tpm_client_kit import POLICY, start, two_b
from tpm_kit import (
    ALL_BANKS,
    EMPTY_PASSWORD,
    command,
    off_tpm,
    power_cycle,
    rc_of,
    started,
    vector,
)

ROWS = vector("response_codes.json")
OWNER = 0x40000001
STORAGE_KEY = bytes.fromhex("0001000b000300720000000600800043001008000000000000 00")


def prepared() -> Tpm:
    """The state that the rows need (README of the vectors)."""
    tpm, _, _ = started(banks=ALL_BANKS, allocated=ALL_BANKS)
    create = two_b(bytes(4)) + two_b(STORAGE_KEY) + two_b(b"") + bytes(4)
    for code, params in (
        (0x131, create),
        (0x12A, two_b(b"nvpw") + nv_public(0x01500001, 0x00060006)),
        (0x12A, two_b(b"nvpw") + nv_public(0x01500002, 0x02040004)),
    ):
        raw = command(code, params, handles=(OWNER,), area=EMPTY_PASSWORD)
        assert rc_of(tpm.execute(raw)) == 0
    assert start(tpm, POLICY).handle == 0x03000000
    return tpm


def nv_public(index: int, attributes: int) -> bytes:
    numbers = index.to_bytes(4, "big") + b"\0\x0b" + attributes.to_bytes(4, "big")
    return two_b(numbers + two_b(b"") + b"\0\x10")


def test_118_commands_are_answered_as_a_real_tpm_answers() -> None:
    """In their order, on one TPM; not one row differs."""
    tpm = prepared()
    assert len(ROWS) == 118
    for row in ROWS:
        if row["name"] in (
            "before Startup: GetRandom",
            "Startup(STATE) after Shutdown(STATE)",
        ):
            power_cycle(tpm)
        response = tpm.execute(bytes.fromhex(row["command"]))
        assert f"0x{rc_of(response):03x}" == row["rc"], row["name"]
        if rc_of(response):
            assert response[:2].hex() == row["response_tag"][2:], row["name"]
            assert len(response) == row["response_size"], row["name"]


@pytest.mark.parametrize(
    ("rc", "words"),
    [
        (0x000, "TPM_RC_SUCCESS"),
        (0x100, "TPM_RC_INITIALIZE"),
        (0x143, "TPM_RC_COMMAND_CODE"),
        (0x095, "TPM_RC_SIZE"),
        (0x1C4, "TPM_RC_VALUE, parameter 1"),
        (0x2CB, "TPM_RC_HANDLE, parameter 2"),
        (0xFC4, "TPM_RC_VALUE, parameter 15"),
        (0x184, "TPM_RC_VALUE, handle 1"),
        (0x79C, "TPM_RC_KEY, handle 7"),
        (0x9A2, "TPM_RC_BAD_AUTH, session 1"),
        (0x98E, "TPM_RC_AUTH_FAIL, session 1"),
        (0xC95, "TPM_RC_SIZE, session 4"),
        (0x907, "TPM_RC_LOCALITY"),
        (0x918, "TPM_RC_REFERENCE_S0"),
        (0x922, "TPM_RC_RETRY"),
        (0x01E, "TPM_RC_BAD_TAG"),
        (0x080, "unknown response code 0x080"),
        (0x5FF, "unknown response code 0x5ff"),
        (0x801C4, "unknown response code 0x801c4"),
        (0x102, "unknown response code 0x102"),
    ],
)
def test_a_code_in_words(rc: int, words: str) -> None:
    assert describe(rc) == words


def test_every_name_is_found() -> None:
    for rc in TpmRc:
        assert describe(rc) == f"TPM_RC_{rc.name}"


def test_the_error_carries_device_code_and_words() -> None:
    error = TpmError(0x1C4)
    assert isinstance(error, DeviceError)
    assert isinstance(error, PefError)
    assert (error.device, error.code) == ("tpm", 0x1C4)
    assert error.meaning == "TPM_RC_VALUE, parameter 1"
    assert str(error) == "tpm: answered 0x1c4 (TPM_RC_VALUE, parameter 1)"


def test_errors_survive_pickling() -> None:
    for error in (TpmError(0x907), DeviceError("flash", 3, "locked")):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again)) == (type(error), str(error))


def test_without_power_every_command_fails() -> None:
    tpm, _, _ = off_tpm()
    for row in ROWS:
        assert rc_of(tpm.execute(bytes.fromhex(row["command"]))) == 0x101
