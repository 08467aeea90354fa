"""Clear, HierarchyControl, seeds, primary policies, dictionary attack parameters."""

from functools import partial

import pytest

from pefstack.hw.tpm.engine import Tpm
from tpm_kit import (
    NULL,
    SHUTDOWN_STATE,
    STARTUP_CLEAR,
    STARTUP_STATE,
    clock_info,
    power_cycle,
    rc_of,
    session,
    started,
)
from tpm_objects import (
    ENDORSEMENT,
    FIXED,
    LOCKOUT,
    OWNER,
    PLATFORM,
    USER,
    create_primary,
    flush,
    keyed_hash,
    made,
    persist,
    policy_session,
    refused,
    send,
    two_b,
)

PLATFORM_NV = 0x4000000D


def control(tpm: Tpm, auth: int, enable: int, state: int, password: bytes = b"") -> int:
    """HierarchyControl: the response code."""
    params = enable.to_bytes(4, "big") + bytes((state,))
    return send(tpm, 0x121, params, auth, area=session(auth=password)).rc


def change_auth(tpm: Tpm, handle: int, new: bytes, old: bytes = b"") -> int:
    """HierarchyChangeAuth: the response code."""
    return send(tpm, 0x129, two_b(new), handle, area=session(auth=old)).rc


def key_of(tpm: Tpm, hierarchy: int, password: bytes = b"") -> bytes:
    """The primary key of a hierarchy; empty where it is refused."""
    params = two_b(bytes(4)) + two_b(keyed_seed()) + bytes(6)
    area = session(auth=password)
    answer = send(tpm, 0x131, params, hierarchy, area=area, gives_handle=True)
    if answer.rc:
        return b""
    flush(tpm, answer.handle)
    return answer.sized(1)[0]


def keyed_seed() -> bytes:
    """A template that is quick to make: an HMAC key."""
    return keyed_hash(FIXED | USER | 0x20 | 1 << 18, bytes.fromhex("0005000b"))


@pytest.mark.parametrize("auth", [LOCKOUT, PLATFORM])
def test_clear_takes_the_owner_away(auth: int) -> None:
    tpm, journal, _ = started(transient_slots=8)
    keys = {h: key_of(tpm, h) for h in (OWNER, ENDORSEMENT, PLATFORM, NULL)}
    for hierarchy, handle in ((OWNER, 0x81000000), (ENDORSEMENT, 0x81010000)):
        assert (
            persist(tpm, create_primary(tpm, hierarchy=hierarchy).handle, handle) == 0
        )
    kept = create_primary(tpm, hierarchy=PLATFORM).handle
    assert persist(tpm, kept, 0x81800000, PLATFORM) == 0
    for handle in (OWNER, ENDORSEMENT, LOCKOUT):
        assert change_auth(tpm, handle, b"pw") == 0
    area = session(auth=b"pw" if auth == LOCKOUT else b"")
    assert send(tpm, 0x126, b"", auth, area=area).rc == 0
    assert key_of(tpm, OWNER) not in (keys[OWNER], b"")
    for hierarchy in (ENDORSEMENT, PLATFORM, NULL):
        assert key_of(tpm, hierarchy) == keys[hierarchy]
    assert [*tpm._inner.state.objects.persistent] == [0x81800000]
    assert [*tpm._inner.state.objects.transient] == [kept]
    assert change_auth(tpm, LOCKOUT, b"") == 0
    assert [event.kind for event in journal][-2:] == ["clear", "change-auth"]


def test_clear_opens_hierarchies_and_sets_the_counters_back() -> None:
    tpm, _, clock = started()
    clock.advance(12345)
    assert control(tpm, OWNER, OWNER, 0) == 0
    assert control(tpm, ENDORSEMENT, ENDORSEMENT, 0) == 0
    policy = two_b(bytes(32)) + b"\0\x0b"
    assert send(tpm, 0x12E, policy, LOCKOUT).rc == 0
    assert send(tpm, 0x126, b"", PLATFORM).rc == 0
    assert key_of(tpm, OWNER) and key_of(tpm, ENDORSEMENT)
    assert tpm._inner.state.hierarchies[LOCKOUT].auth_policy == b""
    time, value, resets, restarts, safe = clock_info(tpm)
    assert (value, resets, restarts, safe) == (0, 0, 0, 1)
    assert time == 12345
    clock.advance(5)
    assert clock_info(tpm)[1] == 5


def test_clear_control() -> None:
    tpm, _, _ = started()
    assert send(tpm, 0x127, b"\1", LOCKOUT).rc == 0
    for auth in (LOCKOUT, PLATFORM):
        assert refused(tpm, partial(send, tpm, 0x126, b"", auth)) == 0x120
    assert refused(tpm, partial(send, tpm, 0x127, b"\0", LOCKOUT)) == 0x08E
    assert refused(tpm, partial(send, tpm, 0x127, b"\2", PLATFORM)) == 0x1C4
    power_cycle(tpm)
    assert rc_of(tpm.execute(STARTUP_CLEAR)) == 0
    assert send(tpm, 0x126, b"", LOCKOUT).rc == 0x120
    assert send(tpm, 0x127, b"\0", PLATFORM).rc == 0
    assert send(tpm, 0x126, b"", LOCKOUT).rc == 0


def test_clear_asks_for_authority() -> None:
    tpm, _, _ = started()
    assert change_auth(tpm, PLATFORM, b"pw") == 0
    assert refused(tpm, partial(send, tpm, 0x126, b"", PLATFORM)) == 0x9A2
    assert refused(tpm, partial(send, tpm, 0x126, b"", OWNER)) == 0x184


@pytest.mark.parametrize("hierarchy", [OWNER, ENDORSEMENT, PLATFORM])
def test_a_closed_hierarchy_is_not_there(hierarchy: int) -> None:
    tpm, _, _ = started()
    key = create_primary(tpm, hierarchy=hierarchy).handle
    by = PLATFORM if hierarchy == PLATFORM else OWNER
    place = 0x81800000 if hierarchy == PLATFORM else 0x81000000
    assert persist(tpm, key, place, by) == 0
    assert control(tpm, hierarchy, hierarchy, 0) == 0
    assert create_primary(tpm, hierarchy=hierarchy).rc == 0x185
    assert send(tpm, 0x173, b"", key, auths=0).rc == 0x910
    assert send(tpm, 0x173, b"", place, auths=0).rc == 0x18B
    power_cycle(tpm)
    assert rc_of(tpm.execute(STARTUP_CLEAR)) == 0
    assert send(tpm, 0x173, b"", place, auths=0).rc == 0
    assert create_primary(tpm, hierarchy=hierarchy).rc == 0


@pytest.mark.parametrize(
    ("auth", "enable", "state", "closed_first", "rc"),
    [
        (OWNER, OWNER, 0, False, 0),
        (OWNER, OWNER, 1, False, 0),
        (OWNER, ENDORSEMENT, 0, False, 0x124),
        (OWNER, PLATFORM, 0, False, 0x124),
        (OWNER, PLATFORM_NV, 0, False, 0x124),
        (ENDORSEMENT, OWNER, 0, False, 0x124),
        (PLATFORM, OWNER, 0, False, 0),
        (PLATFORM, OWNER, 1, True, 0),
        (PLATFORM, ENDORSEMENT, 1, True, 0),
        (PLATFORM, PLATFORM_NV, 0, False, 0),
        (PLATFORM, NULL, 0, False, 0x1C4),
        (PLATFORM, OWNER, 2, False, 0x2C4),
        (LOCKOUT, OWNER, 0, False, 0x184),
    ],
)
def test_who_opens_and_closes(
    auth: int, enable: int, state: int, closed_first: bool, rc: int
) -> None:
    tpm, _, _ = started()
    if closed_first:
        assert control(tpm, enable, enable, 0) == 0
        assert control(tpm, enable, enable, 1) == 0x185  # not by itself
    assert control(tpm, auth, enable, state) == rc


def test_hierarchies_stay_closed_over_a_resume() -> None:
    tpm, _, _ = started()
    assert control(tpm, OWNER, OWNER, 0) == 0
    assert rc_of(tpm.execute(SHUTDOWN_STATE)) == 0
    power_cycle(tpm)
    assert rc_of(tpm.execute(STARTUP_STATE)) == 0
    assert key_of(tpm, OWNER) == b""


@pytest.mark.parametrize("handle", [OWNER, ENDORSEMENT, PLATFORM, LOCKOUT])
def test_another_password_of_a_hierarchy(handle: int) -> None:
    tpm, journal, _ = started()
    assert change_auth(tpm, handle, b"secretpw\0") == 0
    assert change_auth(tpm, handle, b"again") in (0x9A2, 0x98E)
    assert "secretpw" not in str(list(journal))
    if handle == LOCKOUT:
        return  # it is blocked now
    assert change_auth(tpm, handle, b"", b"secretpw") == 0


def test_the_platforms_password_is_empty_after_a_start() -> None:
    tpm, _, _ = started()
    for handle in (PLATFORM, OWNER):
        assert change_auth(tpm, handle, b"pw") == 0
    power_cycle(tpm)
    assert rc_of(tpm.execute(STARTUP_CLEAR)) == 0
    assert key_of(tpm, PLATFORM)
    assert key_of(tpm, OWNER) == b""
    assert key_of(tpm, OWNER, b"pw")


def test_a_new_password_is_too_long() -> None:
    tpm, _, _ = started()
    assert refused(tpm, partial(send, tpm, 0x129, two_b(bytes(65)), OWNER)) == 0x1D5


@pytest.mark.parametrize(
    ("policy", "alg", "rc"),
    [
        (bytes(32), 0xB, 0),
        (b"", 0x10, 0),
        (bytes(20), 0xB, 0x1D5),
        (b"", 0xB, 0x1D5),
        (bytes(32), 0x10, 0x1D5),
        (bytes(32), 0x12, 0x2C3),
    ],
)
def test_primary_policies(policy: bytes, alg: int, rc: int) -> None:
    tpm, _, _ = started()
    for handle in (OWNER, ENDORSEMENT, PLATFORM, LOCKOUT):
        params = two_b(policy) + alg.to_bytes(2, "big")
        assert send(tpm, 0x12E, params, handle).rc == rc
    assert send(tpm, 0x12E, params, NULL).rc == 0x184


def test_a_primary_policy_authorizes() -> None:
    tpm, _, _ = started()
    assert change_auth(tpm, OWNER, b"pw") == 0
    handle, policy = policy_session(tpm, 0x126)
    assert send(tpm, 0x12E, two_b(policy) + b"\0\x0b", LOCKOUT).rc == 0
    assert send(tpm, 0x126, b"", LOCKOUT, area=session(handle, b"\1" * 16)).rc == 0
    assert key_of(tpm, OWNER)


@pytest.mark.parametrize(
    ("code", "hierarchy"), [(0x125, PLATFORM), (0x124, ENDORSEMENT)]
)
def test_another_seed(code: int, hierarchy: int) -> None:
    tpm, _, _ = started(transient_slots=8)
    keys = {h: key_of(tpm, h) for h in (OWNER, ENDORSEMENT, PLATFORM)}
    handle = 0x81800000 if hierarchy == PLATFORM else 0x81010000
    by = PLATFORM if hierarchy == PLATFORM else OWNER
    loaded = create_primary(tpm, hierarchy=hierarchy).handle
    assert persist(tpm, loaded, handle, by) == 0
    params = two_b(bytes(32)) + b"\0\x0b"
    assert send(tpm, 0x12E, params, hierarchy).rc == 0
    assert send(tpm, code, b"", PLATFORM).rc == 0
    assert tpm._inner.state.hierarchies[hierarchy].auth_policy == b""
    for other, key in keys.items():
        assert (key_of(tpm, other) == key) is (other != hierarchy)
    assert send(tpm, 0x173, b"", loaded, auths=0).rc == 0x910
    assert send(tpm, 0x173, b"", handle, auths=0).rc == 0x18B


def test_only_the_platform_changes_seeds() -> None:
    tpm, _, _ = started()
    for code in (0x124, 0x125):
        for handle in (OWNER, ENDORSEMENT):
            assert refused(tpm, partial(send, tpm, code, b"", handle)) == 0x184


def test_change_eps_empties_and_opens_the_endorsement_hierarchy() -> None:
    tpm, _, _ = started()
    assert change_auth(tpm, ENDORSEMENT, b"pw") == 0
    assert control(tpm, ENDORSEMENT, ENDORSEMENT, 0, b"pw") == 0
    assert send(tpm, 0x124, b"", PLATFORM).rc == 0
    assert key_of(tpm, ENDORSEMENT)


def guarded(tpm: Tpm) -> int:
    """A sealed object that counts wrong passwords."""
    parent = create_primary(tpm).handle
    return made(tpm, parent, keyed_hash(FIXED | USER), data=b"d", auth=b"pw")


def attempt(tpm: Tpm, handle: int, password: bytes = b"wrong") -> int:
    return send(tpm, 0x15E, b"", handle, area=session(auth=password)).rc


def parameters(tpm: Tpm, tries: int, recovery: int, lockout: int) -> int:
    numbers = b"".join(each.to_bytes(4, "big") for each in (tries, recovery, lockout))
    return send(tpm, 0x13A, numbers, LOCKOUT).rc


def test_lockout_and_its_end() -> None:
    tpm, _, _ = started()
    handle = guarded(tpm)
    assert [attempt(tpm, handle) for _ in range(4)] == [0x98E, 0x98E, 0x98E, 0x921]
    assert attempt(tpm, handle, b"pw") == 0x921
    assert send(tpm, 0x139, b"", LOCKOUT).rc == 0
    assert attempt(tpm, handle, b"pw") == 0


def test_how_many_tries_and_how_long() -> None:
    tpm, _, clock = started()
    handle = guarded(tpm)
    assert parameters(tpm, 1, 10, 20) == 0
    assert [attempt(tpm, handle) for _ in range(2)] == [0x98E, 0x921]
    clock.advance(10_000)
    assert attempt(tpm, handle, b"pw") == 0


def test_tries_are_kept_when_the_parameters_change() -> None:
    tpm, _, _ = started()
    handle = guarded(tpm)
    assert [attempt(tpm, handle) for _ in range(2)] == [0x98E, 0x98E]
    assert parameters(tpm, 2, 10, 20) == 0
    assert attempt(tpm, handle, b"pw") == 0x921


def test_recovery_time_zero_counts_nothing() -> None:
    """As swtpm: what was counted is gone, too."""
    tpm, _, _ = started()
    handle = guarded(tpm)
    assert [attempt(tpm, handle) for _ in range(3)] == [0x98E] * 3
    assert parameters(tpm, 3, 0, 0) == 0
    assert [attempt(tpm, handle) for _ in range(5)] == [0x98E] * 5
    assert parameters(tpm, 3, 1000, 0) == 0
    assert attempt(tpm, handle, b"pw") == 0


def test_no_tries_at_all_is_lockout() -> None:
    tpm, _, _ = started()
    handle = guarded(tpm)
    assert parameters(tpm, 0, 1000, 0) == 0
    assert attempt(tpm, handle, b"pw") == 0x921


def test_lockout_authority_is_asked_for() -> None:
    tpm, _, _ = started()
    assert change_auth(tpm, LOCKOUT, b"pw") == 0
    assert send(tpm, 0x139, b"", LOCKOUT).rc == 0x98E
    right = session(auth=b"pw")
    assert send(tpm, 0x139, b"", LOCKOUT, area=right).rc == 0x921
    for code in (0x139, 0x13A):
        assert send(tpm, code, bytes(12), OWNER).rc == 0x184
