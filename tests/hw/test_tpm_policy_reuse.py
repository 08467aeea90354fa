"""A policy session that is continued begins again; the limits of PolicyCounterTimer."""

from __future__ import annotations

import hashlib

import pytest

from pefstack.hw.entropy import Clock
from pefstack.hw.tpm.engine import Tpm
from tpm_client_kit import POLICY, start, two_b
from tpm_kit import (
    EMPTY_PASSWORD,
    command,
    rc_of,
    refusal,
    session,
    started,
)

OWNER, INDEX = 0x40000001, 0x01500001
NV_READ = 0x14E
BY_POLICY = 0x020A0006  # OWNERWRITE AUTHWRITE OWNERREAD POLICYREAD NO_DA
CODE = (0x16C).to_bytes(4, "big") + NV_READ.to_bytes(4, "big")
NOTHING = bytes(32)


def with_index() -> tuple[Tpm, Clock, int]:
    """A written index that only NV_Read under a policy reads, and a session."""
    tpm, _, clock = started()
    digest = hashlib.sha256(NOTHING + CODE).digest()
    public = INDEX.to_bytes(4, "big") + b"\0\x0b" + BY_POLICY.to_bytes(4, "big")
    public += two_b(digest) + b"\0\x08"
    for code, params, handles in (
        (0x12A, two_b(b"") + two_b(public), (OWNER,)),
        (0x137, two_b(b"12345678") + b"\0\0", (OWNER, INDEX)),
    ):
        raw = command(code, params, handles=handles, area=EMPTY_PASSWORD)
        assert rc_of(tpm.execute(raw)) == 0
    return tpm, clock, start(tpm, POLICY).handle


def allow(tpm: Tpm, handle: int) -> None:
    raw = command(0x16C, NV_READ.to_bytes(4, "big"), handles=(handle,))
    assert rc_of(tpm.execute(raw)) == 0


def read(tpm: Tpm, handle: int) -> bytes:
    area = session(handle, nonce=bytes(16), attributes=1)
    raw = command(NV_READ, b"\0\x08\0\0", handles=(INDEX, INDEX), area=area)
    return tpm.execute(raw)


def secret(tpm: Tpm, handle: int, nonce: bytes, seconds: int) -> int:
    """PolicySecret by the owner for a time from the start of the session."""
    params = two_b(nonce) + two_b(b"") * 2 + seconds.to_bytes(4, "big")
    raw = command(0x151, params, handles=(OWNER, handle), area=EMPTY_PASSWORD)
    return rc_of(tpm.execute(raw))


def digest_of(tpm: Tpm, handle: int) -> bytes:
    return tpm.execute(command(0x189, handles=(handle,)))[12:]


def test_a_policy_is_good_for_one_use() -> None:
    tpm, _, handle = with_index()
    allow(tpm, handle)
    assert rc_of(read(tpm, handle)) == 0
    assert digest_of(tpm, handle) == NOTHING
    assert read(tpm, handle) == refusal(0x99D)
    allow(tpm, handle)
    assert rc_of(read(tpm, handle)) == 0


def test_a_refused_command_leaves_the_policy() -> None:
    tpm, _, handle = with_index()
    allow(tpm, handle)
    before = digest_of(tpm, handle)
    area = session(handle, nonce=bytes(16), attributes=1)
    raw = command(NV_READ, b"\0\x09\0\0", handles=(INDEX, INDEX), area=area)
    assert tpm.execute(raw) == refusal(0x146)
    assert digest_of(tpm, handle) == before
    assert rc_of(read(tpm, handle)) == 0


@pytest.mark.parametrize(("seconds", "rc"), [(9, 0x4E3), (10, 0)])
def test_time_counts_from_the_start(seconds: int, rc: int) -> None:
    tpm, _, clock = started()
    policy = start(tpm, POLICY)
    clock.now += 10_000
    assert secret(tpm, policy.handle, policy.nonce_tpm, seconds) == rc


@pytest.mark.parametrize(("seconds", "rc"), [(9, 0x4E3), (10, 0)])
def test_time_counts_anew_from_a_use(seconds: int, rc: int) -> None:
    tpm, clock, handle = with_index()
    clock.now += 8_000
    allow(tpm, handle)
    area = read(tpm, handle)[24:]  # behind header, size and data
    nonce = area[2 : 2 + int.from_bytes(area[:2], "big")]
    clock.now += 10_000
    assert secret(tpm, handle, nonce, seconds) == rc


@pytest.mark.parametrize(
    ("size", "offset", "rc"),
    [(8, 17, 0), (8, 18, 0x8D), (0, 25, 0), (0, 26, 0x2C4), (8, 26, 0x2C4)],
)
def test_operand_beyond_the_time_info(size: int, offset: int, rc: int) -> None:
    """Unequal to what cannot be there: the operand is all ones."""
    tpm, _, _ = started()
    handle = start(tpm, POLICY).handle
    operation = 1 if size else 0
    params = two_b(b"\xff" * size) + offset.to_bytes(2, "big")
    params += operation.to_bytes(2, "big")
    assert rc_of(tpm.execute(command(0x16D, params, handles=(handle,)))) == rc
