"""PCR_SetAuthValue, PCR_SetAuthPolicy, PP_Commands: the group of PCR 20 to 22."""

import hashlib

from pefstack.hw.tpm.engine import Tpm
from tpm_client_kit import POLICY, start, two_b
from tpm_kit import (
    EMPTY_PASSWORD,
    SHA256,
    SHUTDOWN_CLEAR,
    STARTUP_CLEAR,
    command,
    digests,
    power_cycle,
    rc_of,
    refusal,
    session,
    started,
    whole_state,
)

PLATFORM = 0x4000000C


def extend(tpm: Tpm, pcr: int, area: bytes) -> bytes:
    params = digests((SHA256, bytes(32)))
    return tpm.execute(command(0x182, params, handles=(pcr,), area=area), locality=2)


def set_value(tpm: Tpm, pcr: int, value: bytes, old: bytes = b"") -> bytes:
    area = session(auth=old)
    return tpm.execute(command(0x183, two_b(value), handles=(pcr,), area=area))


def set_policy(tpm: Tpm, policy: bytes, alg: int) -> bytes:
    params = two_b(policy) + alg.to_bytes(2, "big") + (21).to_bytes(4, "big")
    return tpm.execute(command(0x12C, params, handles=(PLATFORM,), area=EMPTY_PASSWORD))


def test_one_auth_value_for_the_group_until_startup_clear() -> None:
    tpm, _, _ = started()
    assert rc_of(set_value(tpm, 20, b"pw\0")) == 0
    assert extend(tpm, 22, EMPTY_PASSWORD) == refusal(0x9A2)
    assert rc_of(extend(tpm, 22, session(auth=b"pw"))) == 0
    assert rc_of(extend(tpm, 23, EMPTY_PASSWORD)) == 0
    assert set_value(tpm, 21, b"other") == refusal(0x9A2)
    assert rc_of(set_value(tpm, 21, b"other", b"pw")) == 0
    assert "other" not in repr(tpm._inner.state.pcr_group)
    tpm.execute(SHUTDOWN_CLEAR)
    power_cycle(tpm)
    assert rc_of(tpm.execute(STARTUP_CLEAR)) == 0
    assert rc_of(extend(tpm, 22, EMPTY_PASSWORD)) == 0


def test_a_policy_for_the_group_lasts() -> None:
    tpm, _, _ = started()
    command_code = b"\0\0\x01\x6c" + b"\0\0\x01\x82"
    policy = hashlib.sha256(bytes(32) + command_code).digest()
    assert rc_of(set_policy(tpm, policy, SHA256)) == 0
    for _ in range(2):
        client = start(tpm, POLICY)
        raw = command(0x16C, b"\0\0\x01\x82", handles=(client.handle,))
        assert rc_of(tpm.execute(raw)) == 0
        assert rc_of(extend(tpm, 20, session(client.handle, attributes=0))) == 0
        tpm.execute(SHUTDOWN_CLEAR)
        power_cycle(tpm)
        assert rc_of(tpm.execute(STARTUP_CLEAR)) == 0
    client = start(tpm, POLICY)
    assert extend(tpm, 20, session(client.handle)) == refusal(0x99D)
    assert extend(tpm, 16, session(client.handle)) == refusal(0x12F)


def test_refusals_change_nothing() -> None:
    tpm, _, _ = started()
    before = whole_state(tpm)
    assert set_value(tpm, 16, b"pw") == refusal(0x84)
    assert set_policy(tpm, bytes(31), SHA256) == refusal(0x1D5)
    assert set_policy(tpm, b"x", 0x10) == refusal(0x1D5)
    for pcr in (16, 24):
        params = two_b(b"") + b"\0\x10" + pcr.to_bytes(4, "big")
        raw = command(0x12C, params, handles=(PLATFORM,), area=EMPTY_PASSWORD)
        assert tpm.execute(raw) == refusal(0x3C4)
    assert whole_state(tpm) == before


def test_nobody_is_physically_present() -> None:
    """Which is said before a password is looked at."""
    tpm, _, _ = started()
    before = whole_state(tpm)
    wrong = bytes.fromhex("40000009 0000 00 0001 78")
    for area in (EMPTY_PASSWORD, wrong):
        nobody = command(0x12D, bytes(8), handles=(PLATFORM,), area=area)
        assert tpm.execute(nobody) == refusal(0x990)
    assert whole_state(tpm) == before
