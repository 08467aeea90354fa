"""What the lock step with swtpm 0.7.1 found, each by itself; codes are swtpm's."""

from __future__ import annotations

import pytest

from pefstack.hw.tpm.engine import Tpm
from tpm_client_kit import HMAC, TRIAL, hash_of, send, start, two_b
from tpm_key_kit import (
    AES_CFB,
    DECRYPT,
    NO_DA,
    RESTRICTED,
    SIGN,
    USER,
    aes_areas,
    ecc_areas,
    hmac_areas,
    load_external,
    put_in,
    rsa_areas,
)
from tpm_kit import (
    ALL_BANKS,
    EMPTY_PASSWORD,
    NULL,
    PLATFORM,
    STARTUP_CLEAR,
    capability,
    command,
    power_cycle,
    rc_of,
    session,
    started,
    update_counter,
    whole_state,
)

OWNER = 0x40000001
LOCKOUT = 0x4000000A
NO_SYMMETRIC = b"\0\x10"
POLICY = 1
PIN_PASS = 0x0204_0002 | 9 << 4
HASH_START = command(0x186, two_b(b"") + b"\0\x0b")
START = two_b(bytes(16)) + two_b(b"") + b"\0" + NO_SYMMETRIC + b"\0\x0b"


def begin_sequences(tpm: Tpm, count: int) -> None:
    for _ in range(count):
        assert rc_of(tpm.execute(HASH_START)) == 0


def handles(tpm: Tpm, first: int) -> bytes:
    return tpm.execute(capability(1, first, 9))[19:]


def define(tpm: Tpm, attributes: int, *, index: int = 0x01000001) -> int:
    public = index.to_bytes(4, "big") + b"\0\x0b" + attributes.to_bytes(4, "big")
    params = two_b(b"pin") + two_b(public + two_b(b"") + b"\0\x08")
    return rc_of(
        tpm.execute(command(0x12A, params, handles=(OWNER,), area=EMPTY_PASSWORD))
    )


def test_startup_frees_the_transient_slots() -> None:
    tpm, _, _ = started()
    begin_sequences(tpm, 2)
    power_cycle(tpm)
    tpm.execute(STARTUP_CLEAR)
    assert handles(tpm, 0x80000000) == b""


@pytest.mark.parametrize("size", [16, 20, 32])
def test_nonce_tpm_is_as_long_as_the_first_nonce_caller(size: int) -> None:
    tpm, _, _ = started()
    params = two_b(bytes(size)) + START[18:]
    answer = tpm.execute(command(0x176, params, handles=(NULL, OWNER)))
    assert answer[14:16] == size.to_bytes(2, "big")
    assert len(answer) == 16 + size


def test_nonce_tpm_keeps_its_length() -> None:
    tpm, _, _ = started()
    one = start(tpm, bind=OWNER, symmetric=bytes.fromhex("000600800043"))
    one.attributes = 0x41
    send(tpm, 0x17B, b"\0\4", {}, one)
    assert len(one.nonce_tpm) == 16


@pytest.mark.parametrize(("kind", "other"), [(HMAC, 0x03), (POLICY, 0x02)])
def test_a_session_is_of_one_type(kind: int, other: int) -> None:
    """Its number with the other type is TPM_RC_HANDLE: something is loaded there."""
    tpm, _, _ = started()
    wrong = start(tpm, kind).handle & 0xFFFFFF | other << 24
    area = session(wrong, bytes(16), 1)
    answer = tpm.execute(command(0x126, handles=(LOCKOUT,), area=area))
    assert rc_of(answer) == 0x98B
    if other == 0x03:
        assert rc_of(tpm.execute(command(0x189, handles=(wrong,)))) == 0x18B


def test_a_trial_session_authorizes_nothing() -> None:
    tpm, _, _ = started()
    area = session(start(tpm, TRIAL).handle, bytes(16), 1)
    answer = tpm.execute(command(0x126, handles=(LOCKOUT,), area=area))
    assert rc_of(answer) == 0x982


def test_an_object_without_policy_is_met_by_none() -> None:
    tpm, _, _ = started()
    key = put_in(tpm, hmac_areas())
    area = session(start(tpm, POLICY).handle, bytes(16), 1)
    params = two_b(b"x") + b"\0\x10"
    assert (
        rc_of(tpm.execute(command(0x155, params, handles=(key,), area=area))) == 0x99D
    )


def test_a_policy_begins_again_after_its_use() -> None:
    tpm, _, _ = started()
    one = start(tpm, POLICY, bind=OWNER, symmetric=bytes.fromhex("000600800043"))
    assert rc_of(tpm.execute(command(0x16B, handles=(one.handle,)))) == 0
    one.attributes, one.takes_auth = 0x41, False
    send(tpm, 0x17B, b"\0\4", {}, one)
    digest = tpm.execute(command(0x189, handles=(one.handle,)))
    assert digest[12:] == bytes(32)


def test_policy_secret_wants_a_secret() -> None:
    """TPM_RC_MODE for a policy session that proves no authValue."""
    tpm, _, _ = started()
    one, other = start(tpm, POLICY), start(tpm, POLICY)
    params = two_b(b"") * 3 + bytes(4)
    policy = two_b(hash_of(0x0B, b"x")) + b"\0\x0b"
    tpm.execute(command(0x12E, policy, handles=(OWNER,), area=EMPTY_PASSWORD))
    area = session(one.handle, bytes(16), 1)
    raw = command(0x151, params, handles=(OWNER, other.handle), area=area)
    assert rc_of(tpm.execute(raw)) == 0x989


def test_a_wrong_hmac_of_a_bound_session_is_a_guess() -> None:
    """Bound to what is protected, it counts, whatever it is used for."""
    tpm, _, _ = started()
    key = put_in(tpm, hmac_areas(auth=b"secret"))
    one = start(tpm, bind=key, symmetric=bytes.fromhex("000600800043"))
    one.attributes, one.key = 0x41, b"wrong"
    for _ in range(3):
        assert rc_of(send(tpm, 0x17B, b"\0\4", {}, one)) == 0x98E
    assert tpm._inner.state.dictionary_attack.failed_tries == 3
    assert rc_of(send(tpm, 0x17B, b"\0\4", {}, one)) == 0x921


def test_a_wrong_hmac_of_a_free_session_is_none() -> None:
    tpm, _, _ = started()
    one = start(tpm, bind=OWNER, symmetric=bytes.fromhex("000600800043"))
    one.attributes, one.key = 0x41, b"wrong"
    assert rc_of(send(tpm, 0x17B, b"\0\4", {}, one)) == 0x9A2
    assert tpm._inner.state.dictionary_attack.failed_tries == 0


@pytest.mark.parametrize("name", ["object", "nv"])
def test_no_session_is_bound_to_these(name: str) -> None:
    """A public key has no authValue; a PIN index counts its own guesses."""
    tpm, _, _ = started()
    assert define(tpm, PIN_PASS) == 0
    key = put_in(tpm, ecc_areas(), public_only=True)
    bind = key if name == "object" else 0x01000001
    answer = tpm.execute(command(0x176, START, handles=(NULL, bind)))
    assert rc_of(answer) == 0x28B


def test_a_salt_is_opened_by_a_decryption_key() -> None:
    """One code for whatever is wrong with the salt; no key at all is another."""
    tpm, _, _ = started()
    signing, secret = put_in(tpm, rsa_areas(SIGN | USER)), put_in(tpm, aes_areas())
    begin_sequences(tpm, 1)
    for key, rc in ((signing, 0x2C4), (secret, 0x19C), (0x80000002, 0x19C)):
        assert rc_of(tpm.execute(command(0x176, START, handles=(key, NULL)))) == rc


def test_a_persistent_object_needs_a_slot() -> None:
    tpm, _, _ = started()
    begin_sequences(tpm, 3)
    before = tpm._inner.state.objects.borrowed
    assert rc_of(tpm.execute(command(0x173, handles=(0x81000000,)))) == 0x902
    assert tpm._inner.state.objects.borrowed == before == 0
    tpm.execute(command(0x165, (0x80000000).to_bytes(4, "big")))
    assert rc_of(tpm.execute(command(0x173, handles=(0x81000000,)))) == 0x18B


def test_a_hash_sequence_makes_room_for_itself() -> None:
    tpm, _, _ = started()
    begin_sequences(tpm, 3)
    tpm.hash_start()
    tpm.hash_end()
    assert handles(tpm, 0x80000000).hex() == "8000000180000002"


def test_an_external_object_is_its_own_ancestor() -> None:
    tpm, _, _ = started()
    name = tpm.execute(command(0x167, load_external(ecc_areas())))[16:]
    assert tpm.execute(command(0x173, handles=(0x80000000,)))[-34:] == name


def test_clear_stclear_is_not_locked_at_its_definition() -> None:
    tpm, _, _ = started()
    assert define(tpm, 0x0806_0006 | 1 << 13) == 0x2C2


def test_a_timer_is_compared_within_its_bounds_in_a_trial_too() -> None:
    tpm, _, _ = started()
    one = start(tpm, TRIAL).handle
    long = command(0x16D, two_b(b"\0\0") + b"\0\x18\0\0", handles=(one,))
    assert rc_of(tpm.execute(long)) == 0x08D
    outside = command(0x16D, two_b(b"") + b"\0\x1a\0\0", handles=(one,))
    assert rc_of(tpm.execute(outside)) == 0x2C4


def test_a_trial_takes_any_pcr_digest() -> None:
    tpm, _, _ = started()
    one = start(tpm, TRIAL).handle
    raw = command(0x17F, two_b(b"short") + bytes(4), handles=(one,))
    assert rc_of(tpm.execute(raw)) == 0


def test_there_are_no_timers_to_list() -> None:
    answer = started()[0].execute(capability(10, 0x40000110, 4))
    assert answer[10:] == bytes.fromhex("000000000a00000000")


def test_the_clock_may_be_read_in_a_session() -> None:
    tpm, _, _ = started()
    one = start(tpm, bind=OWNER)
    one.attributes = 0x83
    assert len(send(tpm, 0x181, b"", {}, one)) == 25


def test_a_secret_that_does_not_fit_the_key() -> None:
    """OAEP with SHA-512 has no room for its seed in 1024 bits."""
    tpm, _, _ = started(banks=ALL_BANKS)
    template = (
        bytes.fromhex("0001000d")
        + (RESTRICTED | DECRYPT | USER | NO_DA | 0x32).to_bytes(4, "big")
        + two_b(b"")
        + bytes.fromhex(AES_CFB + "0010" + "0400" + "00000000")
        + two_b(b"")
    )
    params = two_b(two_b(b"") * 2) + two_b(template) + two_b(b"") + bytes(4)
    made = tpm.execute(command(0x131, params, handles=(OWNER,), area=EMPTY_PASSWORD))
    assert rc_of(made) == 0
    raw = command(0x168, two_b(b"c") + two_b(b"name"), handles=(0x80000000,))
    before = whole_state(tpm)
    assert rc_of(tpm.execute(raw)) == 0x184
    assert whole_state(tpm) == before


def test_presence_is_asked_before_all_else() -> None:
    tpm, _, _ = started()
    area = session(start(tpm, POLICY).handle, bytes(16), 1)
    raw = command(0x12D, bytes(8), handles=(PLATFORM,), area=area)
    assert rc_of(tpm.execute(raw)) == 0x990


def test_duplication_is_selected_before_any_command_is_named() -> None:
    tpm, _, _ = started()
    one = start(tpm, TRIAL).handle
    code = command(0x16C, (0x14B).to_bytes(4, "big"), handles=(one,))
    assert rc_of(tpm.execute(code)) == 0
    raw = command(0x188, two_b(b"") * 2 + b"\0", handles=(one,))
    assert rc_of(tpm.execute(raw)) == 0x143


def test_a_response_of_a_bound_session_stays_without_auth_value() -> None:
    """HierarchyChangeAuth gives another authValue; the HMAC is made as before it."""
    tpm, _, _ = started()
    one = start(tpm, bind=OWNER)
    one.takes_auth = False
    handles_ = {OWNER: OWNER.to_bytes(4, "big")}
    send(tpm, 0x129, two_b(b"new"), handles_, one)


def test_clear_ends_policies_over_pcrs() -> None:
    tpm, _, _ = started()
    before = update_counter(tpm)
    raw = command(0x126, handles=(PLATFORM,), area=EMPTY_PASSWORD)
    assert rc_of(tpm.execute(raw)) == 0
    assert update_counter(tpm) == before + 1


def test_a_first_write_leaves_ones_around_it() -> None:
    tpm, _, _ = started()
    index = 0x01000001
    assert define(tpm, 0x0004_0004) == 0
    area = session(auth=b"pin")
    written = command(0x137, two_b(b"a") + b"\0\2", handles=(index,) * 2, area=area)
    assert rc_of(tpm.execute(written)) == 0
    read = command(0x14E, b"\0\x08\0\0", handles=(index,) * 2, area=area)
    assert tpm.execute(read)[16:24] == b"\xff\xffa\xff\xff\xff\xff\xff"


def test_a_session_is_bound_to_a_sequence() -> None:
    """It has no Name, but an authValue."""
    tpm, _, _ = started()
    raw = command(0x186, two_b(b"auth") + b"\0\x0b")
    assert rc_of(tpm.execute(raw)) == 0
    one = start(tpm, bind=0x80000000, bind_auth=b"auth")
    one.takes_auth = False
    send(tpm, 0x15C, two_b(b"more"), {0x80000000: b""}, one)


def test_an_audit_session_is_bound_no_more() -> None:
    """From its first audit on, the authValue of what it was bound to takes part."""
    tpm, _, _ = started()
    raw = command(0x186, two_b(b"auth") + b"\0\x0b")
    assert rc_of(tpm.execute(raw)) == 0
    one = start(tpm, bind=0x80000000, bind_auth=b"auth")
    one.attributes = 0x83
    send(tpm, 0x17B, b"\0\4", {}, one)
    one.attributes, one.takes_auth = 1, False
    more = two_b(b"more")
    assert rc_of(send(tpm, 0x15C, more, {0x80000000: b""}, one)) == 0x9A2
    one.takes_auth, one.entity_auth = True, b"auth"
    send(tpm, 0x15C, more, {0x80000000: b""}, one)
