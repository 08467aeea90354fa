"""Sessions bound to an entity: a wrong HMAC is a guess at its authValue, too.

The codes are those of swtpm 0.7.1 for the same commands.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pefstack.hw.tpm.engine import Tpm
from tpm_client_kit import ClientSession, hash_of, start, two_b
from tpm_key_kit import DECRYPT, SIGN, USER, Areas, ecc_areas, put_in, rsa_areas
from tpm_kit import EMPTY_PASSWORD, command, rc_of, started, whole_state

NULL = 0x40000007
OWNER = 0x40000001
LOCKOUT = 0x4000000A
GUARDED, FREE, PIN_FAIL, PIN_PASS = 0x01500001, 0x01500002, 0x01500003, 0x01500004
AUTH = b"nvpw"
ATTRIBUTES = {
    GUARDED: 0x00060006,
    FREE: 0x02060006,
    PIN_FAIL: 0x02060082,
    PIN_PASS: 0x02060092,
}


def with_indexes() -> Tpm:
    """One that is protected against guesses, one that is not, and two of PINs."""
    tpm, _, _ = started()
    for handle, attributes in ATTRIBUTES.items():
        head = handle.to_bytes(4, "big") + b"\0\x0b" + attributes.to_bytes(4, "big")
        params = two_b(AUTH) + two_b(head + b"\0\0\0\x08")
        define = command(0x12A, params, handles=(OWNER,), area=EMPTY_PASSWORD)
        assert rc_of(tpm.execute(define)) == 0
    return tpm


def write(tpm: Tpm, session: ClientSession) -> int:
    """Write nothing into the index that nobody guesses at."""
    params = two_b(b"") + b"\0\0"
    public = FREE.to_bytes(4, "big") + b"\0\x0b\x02\x06\0\x06\0\0\0\x08"
    name = b"\0\x0b" + hash_of(0xB, public)
    code = (0x137).to_bytes(4, "big")
    area = session.auth(hash_of(session.alg, code, name, name, params), b"")
    return rc_of(tpm.execute(command(0x137, params, handles=(FREE, FREE), area=area)))


def draw(tpm: Tpm, session: ClientSession) -> int:
    """GetRandom with a session that audits and authorizes nothing."""
    session.attributes |= 0x80
    cp_hash = hash_of(session.alg, (0x17B).to_bytes(4, "big"), b"\0\4")
    area = session.auth(cp_hash, b"")
    return rc_of(tpm.execute(command(0x17B, b"\0\4", area=area)))


def lockout_state(tpm: Tpm) -> tuple[int, bool]:
    attack = tpm._inner.state.dictionary_attack
    return attack.failed_tries, attack.lockout_blocked


def test_a_guess_through_a_session_bound_to_a_protected_entity_counts() -> None:
    tpm = with_indexes()
    session = start(tpm, bind=GUARDED, bind_auth=b"wrong")
    session.entity_auth = AUTH
    assert [write(tpm, session) for _ in range(4)] == [0x98E] * 3 + [0x921]
    assert lockout_state(tpm) == (3, False)


def test_a_right_session_is_refused_while_its_entity_is_locked_out() -> None:
    tpm = with_indexes()
    session = start(tpm, bind=GUARDED, bind_auth=AUTH)
    session.entity_auth = AUTH
    tpm._inner.state.dictionary_attack.failed_tries = 3
    assert write(tpm, session) == 0x921
    assert draw(tpm, session) == 0x921


def test_a_guess_at_lockout_auth_blocks_it() -> None:
    tpm = with_indexes()
    session = start(tpm, bind=LOCKOUT, bind_auth=b"wrong")
    assert [draw(tpm, session) for _ in range(2)] == [0x98E, 0x921]
    assert lockout_state(tpm) == (0, True)


@pytest.mark.parametrize("bind", [NULL, FREE, OWNER])
def test_a_wrong_hmac_that_guesses_at_nothing_does_not_count(bind: int) -> None:
    tpm = with_indexes()
    session = start(tpm, bind=bind, bind_auth=b"wrong")
    session.key += b"wrong"
    before = whole_state(tpm)
    assert draw(tpm, session) == 0x9A2
    session.attributes = 1
    assert write(tpm, session) == 0x9A2
    assert whole_state(tpm) == before


def bound_to(tpm: Tpm, bind: int, key: int = NULL) -> int:
    params = two_b(bytes(16)) + two_b(b"") + bytes((0,)) + b"\0\x10\0\x0b"
    return rc_of(tpm.execute(command(0x176, params, handles=(key, bind))))


@pytest.mark.parametrize("bind", [PIN_FAIL, PIN_PASS])
def test_no_session_is_bound_to_a_pin_index(bind: int) -> None:
    assert bound_to(with_indexes(), bind) == 0x28B


def salted_with(tpm: Tpm, key: int, salt: bytes) -> int:
    params = two_b(bytes(16)) + two_b(salt) + bytes((0,)) + b"\0\x10\0\x0b"
    return rc_of(tpm.execute(command(0x176, params, handles=(key, NULL))))


@pytest.mark.parametrize("areas", [rsa_areas, ecc_areas])
def test_no_session_with_a_public_key(areas: Callable[[int], Areas]) -> None:
    tpm = with_indexes()
    handle = put_in(tpm, areas(DECRYPT | USER), public_only=True)
    assert bound_to(tpm, handle) == 0x28B
    assert salted_with(tpm, handle, b"") == 0x2C4
    assert salted_with(tpm, handle, bytes(256)) == 0x18B


@pytest.mark.parametrize("areas", [rsa_areas, ecc_areas])
def test_no_session_with_a_key_that_does_not_decrypt(
    areas: Callable[[int], Areas],
) -> None:
    tpm = with_indexes()
    handle = put_in(tpm, areas(SIGN | USER))
    assert salted_with(tpm, handle, b"") == 0x2C4
    assert salted_with(tpm, handle, bytes(256)) == 0x182
    handle = put_in(tpm, areas(DECRYPT | USER))
    assert salted_with(tpm, handle, bytes(256)) == 0x2C4


@pytest.mark.parametrize(
    ("exponent", "code"),
    [(7, 0), (8, 0xA5), (9, 0xA5), (11, 0), (65536, 0xA5), (0xD22100, 0xA5)],
)
def test_an_exponent_that_nothing_undoes_is_not_loaded(
    exponent: int, code: int
) -> None:
    tpm = with_indexes()
    public, sensitive = rsa_areas(DECRYPT | USER)
    size = bytes.fromhex("080000000000")
    raw = size[:2] + exponent.to_bytes(4, "big")
    params = two_b(sensitive) + two_b(public.replace(size, raw))
    load = command(0x167, params + NULL.to_bytes(4, "big"))
    assert rc_of(tpm.execute(load)) == code


@pytest.mark.parametrize("size", [16, 20, 32])
def test_nonces_are_as_long_as_the_first_of_the_caller(size: int) -> None:
    tpm = with_indexes()
    params = two_b(bytes(size)) + two_b(b"") + bytes((0,)) + b"\0\x10\0\x0b"
    answer = tpm.execute(command(0x176, params, handles=(NULL, NULL)))
    assert int.from_bytes(answer[14:16], "big") == size == len(answer[16:])
