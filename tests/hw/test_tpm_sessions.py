"""The authorization area: password sessions, and every way to get one wrong."""

import pytest

from tpm_kit import (
    EMPTY_PASSWORD,
    PW,
    SHA256,
    command,
    digests,
    rc_of,
    refusal,
    session,
    started,
    whole_state,
)

GOOD = digests((SHA256, bytes(32)))


def answer(area: bytes | None, params: bytes = GOOD, code: int = 0x182) -> bytes:
    """PCR_Extend of PCR 6 with this authorization area; refused: nothing changed."""
    tpm, _, _ = started()
    before = whole_state(tpm)
    response = tpm.execute(command(code, params, handles=(6,), area=area))
    if rc_of(response):
        assert response == refusal(rc_of(response))
        assert whole_state(tpm) == before
    return response


@pytest.mark.parametrize("attributes", [0, 1])
@pytest.mark.parametrize("auth", [b"", b"\0", b"\0" * 64])
def test_the_empty_password(attributes: int, auth: bytes) -> None:
    """Trailing zeros do not count (Part 1, "authValue")."""
    response = answer(session(attributes=attributes, auth=auth))
    assert response.hex() == "80020000001300000000000000000000010000"


@pytest.mark.parametrize("auth", [b"x", b"\0x", b"x\0", b"\0" * 63 + b"\1"])
def test_wrong_password(auth: bytes) -> None:
    assert rc_of(answer(session(auth=auth))) == 0x9A2


def test_password_is_checked_before_parameters() -> None:
    assert rc_of(answer(session(auth=b"x"), b"\0\0\0\xff")) == 0x9A2


def test_no_sessions_at_all() -> None:
    assert rc_of(answer(None)) == 0x125


@pytest.mark.parametrize(
    ("area", "rc"),
    [
        (b"", 0x095),
        (EMPTY_PASSWORD[:8], 0x095),
        (session(PW, attributes=0x08), 0x9A1),
        (session(PW, attributes=0x10), 0x9A1),
        (session(PW, attributes=0x02), 0x982),
        (session(PW, attributes=0x04), 0x982),
        (session(PW, attributes=0x20), 0x982),
        (session(PW, attributes=0x40), 0x982),
        (session(PW, attributes=0x80), 0x982),
        (session(PW, nonce=b"n"), 0x98F),
        (session(PW, nonce=b"n", attributes=0x20), 0x982),
        (session(PW, nonce=bytes(65)), 0x995),
        (session(PW, auth=bytes(65)), 0x995),
        (session(0x02000000), 0x918),
        (session(0x0200003F), 0x918),
        (session(0x02000040), 0x984),
        (session(0x03000000), 0x918),
        (session(0x0300003F, nonce=bytes(16), attributes=0xE1), 0x918),
        (session(0x03000040), 0x984),
        (session(0x80000000), 0x984),
        (session(0x40000007), 0x984),
        (session(0x00000006), 0x984),
        (EMPTY_PASSWORD * 2, 0xA8B),
        (EMPTY_PASSWORD * 3, 0xA8B),
        (EMPTY_PASSWORD * 4, 0xC95),
        (EMPTY_PASSWORD + session(0x03000000), 0x919),
        (EMPTY_PASSWORD * 2 + session(0x02000000), 0x91A),
        (EMPTY_PASSWORD + session(0x80000000), 0xA84),
        (EMPTY_PASSWORD + session(PW, attributes=0x08), 0xAA1),
        (EMPTY_PASSWORD * 2 + session(PW, nonce=b"n"), 0xB8F),
        (EMPTY_PASSWORD + b"\x40", 0xA9A),
        (EMPTY_PASSWORD[:-1] + b"\x01", 0x99A),  # one byte of password is promised
        (session(auth=b"x") + EMPTY_PASSWORD, 0x9A2),  # one session after the other
    ],
)
def test_refusals(area: bytes, rc: int) -> None:
    assert rc_of(answer(area)) == rc


def test_area_longer_than_the_command() -> None:
    raw = bytearray(command(0x182, GOOD, handles=(6,), area=EMPTY_PASSWORD))
    rest = len(raw) - 18
    for size, rc in ((rest, 0xA84), (rest + 1, 0x095), (0xFFFFFFFF, 0x095)):
        raw[14:18] = size.to_bytes(4, "big")
        assert rc_of(started()[0].execute(bytes(raw))) == rc


def test_area_size_is_cut() -> None:
    raw = bytes.fromhex("8002 00000010 00000182 00000006 0000")
    assert rc_of(started()[0].execute(raw)) == 0x09A


def test_a_session_may_not_reach_into_the_parameters() -> None:
    """The length of the area bounds it, not the end of the command."""
    area = EMPTY_PASSWORD[:-2] + b"\0\x20"
    assert rc_of(answer(area)) == 0x99A


@pytest.mark.parametrize(
    ("code", "params"),
    [
        (0x143, b"\1"),
        (0x145, b"\0\0"),
        (0x146, b"\0\0"),
        (0x17A, bytes(12)),
        (0x17B, b"\0\x08"),
        (0x17C, b""),
        (0x17E, bytes(4)),
    ],
)
def test_password_where_nothing_needs_it(code: int, params: bytes) -> None:
    tpm, _, _ = started()
    assert rc_of(tpm.execute(command(code, params, area=EMPTY_PASSWORD))) == 0x98B


def test_startup_allows_no_sessions() -> None:
    tpm, _, _ = started()
    tpm.power_off()
    tpm.power_on()
    raw = command(0x144, b"\0\0", area=EMPTY_PASSWORD)
    assert rc_of(tpm.execute(raw)) == 0x145
