"""The names of the response codes, and codes that a real TPM answered."""

import pickle

import pytest

from pefstack.hw.errors import DeviceError
from pefstack.hw.tpm.client import TpmError
from pefstack.hw.tpm.commands.table import COMMANDS
from pefstack.hw.tpm.response_codes import TpmRc, describe
from pefstack.images.errors import PefError
from tpm_kit import ALL_BANKS, off_tpm, power_cycle, rc_of, started, vector

ROWS = vector("response_codes.json")
KNOWN = [row for row in ROWS if int(row["command"][12:20], 16) in COMMANDS]
UNKNOWN = [row for row in ROWS if row["rc"] == "0x143"]
BEFORE_STARTUP = [row for row in KNOWN if row["name"].startswith("before Startup")]
AFTER_STARTUP = [
    row
    for row in KNOWN
    if row not in BEFORE_STARTUP and not row["name"].endswith("(CLEAR)")
]


def test_the_rows_are_those_of_our_commands() -> None:
    assert len(KNOWN) >= 44
    assert (len(UNKNOWN), len(BEFORE_STARTUP)) == (3, 5)


@pytest.mark.parametrize("banks", [ALL_BANKS, ALL_BANKS[:3]])
def test_refused_as_a_real_tpm_refuses(banks: tuple[int, ...]) -> None:
    tpm, _, _ = started(banks=banks)
    for row in [*AFTER_STARTUP, *UNKNOWN]:
        if row["name"].startswith("Startup(STATE) after"):
            power_cycle(tpm)
        response = tpm.execute(bytes.fromhex(row["command"]))
        assert f"0x{rc_of(response):03x}" == row["rc"], row["name"]
        assert f"0x{response[:2].hex()}" == row["response_tag"], row["name"]
        assert len(response) == row["response_size"], row["name"]


def test_refused_before_startup_as_a_real_tpm_refuses() -> None:
    tpm, _, _ = started()
    power_cycle(tpm)
    for row in BEFORE_STARTUP:
        response = tpm.execute(bytes.fromhex(row["command"]))
        assert f"0x{rc_of(response):03x}" == row["rc"], row["name"]


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
    for row in KNOWN:
        assert rc_of(tpm.execute(bytes.fromhex(row["command"]))) == 0x101
