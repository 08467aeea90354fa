"""HMAC sessions against a client that computes everything by itself."""

from __future__ import annotations

import pytest

from pefstack.hw.tpm.authorization import authorize
from pefstack.hw.tpm.command import Command, Handle
from pefstack.hw.tpm.engine import Tpm
from pefstack.hw.tpm.handles import TPMI_RH_OWNER
from pefstack.hw.tpm.invocation import Invocation
from pefstack.hw.tpm.response_codes import Refusal
from pefstack.hw.tpm.session_use import SessionUse
from tpm_client_kit import (
    AES_128_CFB,
    POLICY,
    ClientSession,
    hash_of,
    send,
    start,
    two_b,
)
from tpm_kit import (
    EMPTY_PASSWORD,
    PW,
    SHA1,
    SHA256,
    SHA384,
    SHA512,
    command,
    rc_of,
    session,
    started,
    whole_state,
)

OWNER = 0x40000001
INDEX = 0x01500001
AUTH = b"nvpw"
PUBLIC = bytes.fromhex("01500001 000b 02060006 0000 0010")


def with_index(auth: bytes = AUTH) -> tuple[Tpm, bytes]:
    """A TPM with one written index; its Name."""
    tpm, _, _ = started()
    params = two_b(auth) + two_b(PUBLIC)
    define = command(0x12A, params, handles=(OWNER,), area=EMPTY_PASSWORD)
    assert rc_of(tpm.execute(define)) == 0
    password = b"\x40\0\0\x09\0\0\0" + two_b(auth)
    write = two_b(bytes(range(16))) + b"\0\0"
    raw = command(0x137, write, handles=(INDEX, INDEX), area=password)
    assert rc_of(tpm.execute(raw)) == 0
    written = PUBLIC[:6] + bytes.fromhex("22060006") + PUBLIC[10:]
    return tpm, b"\0\x0b" + hash_of(SHA256, written)


def read(tpm: Tpm, name: bytes, *sessions: ClientSession) -> bytes:
    handles = {INDEX: name}
    # both handles are the index: its Name counts twice
    params = b"\0\x10\0\0"
    further = b"".join(s.nonce_tpm for s in sessions[1:] if s.attributes & 0x60)
    area = b""
    for number, each in enumerate(sessions):
        cp = hash_of(each.alg, (0x14E).to_bytes(4, "big"), name, name, params)
        area += each.auth(cp, b"" if number else further)
    del handles
    return tpm.execute(command(0x14E, params, handles=(INDEX, INDEX), area=area))


@pytest.mark.parametrize("alg", [SHA1, SHA256, SHA384, SHA512])
def test_unbound_session_proves_the_auth_value(alg: int) -> None:
    tpm, name = with_index()
    session = start(tpm, alg=alg)
    session.entity_auth = AUTH
    answer = read(tpm, name, session)
    assert rc_of(answer) == 0
    assert answer[16:32] == bytes(range(16))


def test_wrong_auth_value_counts_as_a_guess() -> None:
    tpm, _name = with_index()
    tpm._inner.state.nv.by_handle.clear()
    params = two_b(AUTH) + two_b(PUBLIC.replace(b"\x02\x06", b"\x00\x06"))
    define = command(0x12A, params, handles=(OWNER,), area=EMPTY_PASSWORD)
    assert rc_of(tpm.execute(define)) == 0
    wrong = b"\x40\0\0\x09\0\0\0" + two_b(b"x")
    write = command(0x137, two_b(b"") + b"\0\0", handles=(INDEX, INDEX), area=wrong)
    assert [rc_of(tpm.execute(write)) for _ in range(4)] == [0x98E] * 3 + [0x921]


def test_wrong_hmac_changes_nothing() -> None:
    tpm, name = with_index()
    session = start(tpm)
    session.entity_auth = b"wrong"
    before = whole_state(tpm)
    assert rc_of(read(tpm, name, session)) == 0x9A2
    assert whole_state(tpm) == before


def test_bound_session_leaves_the_auth_value_out_for_its_entity() -> None:
    tpm, name = with_index()
    session = start(tpm, bind=INDEX, bind_auth=AUTH)
    assert rc_of(read(tpm, name, session)) == 0


def test_a_bound_session_answers_as_it_was_asked() -> None:
    """The first write changes the index's Name; the response's key does not change."""
    tpm, _ = with_index()
    unwritten = bytes.fromhex("01500002 000b 02060006 0000 0010")
    params = two_b(AUTH) + two_b(unwritten)
    define = command(0x12A, params, handles=(OWNER,), area=EMPTY_PASSWORD)
    assert rc_of(tpm.execute(define)) == 0
    session = start(tpm, bind=0x01500002, bind_auth=AUTH)
    name = b"\0\x0b" + hash_of(SHA256, unwritten)
    nonce, caller = session.nonce_tpm, session.nonce_caller
    params = two_b(bytes(16)) + b"\0\0"
    area = session.auth(hash_of(SHA256, bytes.fromhex("00000137"), name, name, params))
    handles = 0x01500002, 0x01500002
    answer = tpm.execute(command(0x137, params, handles=handles, area=area))
    assert rc_of(answer) == 0
    newer = answer[16 : 16 + len(nonce)]
    rp_hash = hash_of(SHA256, bytes(4), bytes.fromhex("00000137"))
    assert answer[-32:] == session.mac(rp_hash, newer, caller, b"")


def test_session_ends_without_continue() -> None:
    tpm, name = with_index()
    session = start(tpm)
    session.entity_auth, session.attributes = AUTH, 0
    assert rc_of(read(tpm, name, session)) == 0
    assert rc_of(read(tpm, name, session)) == 0x918


def test_an_old_nonce_is_no_good() -> None:
    tpm, name = with_index()
    session = start(tpm)
    session.entity_auth = AUTH
    assert rc_of(read(tpm, name, session)) == 0
    assert rc_of(read(tpm, name, session)) == 0x9A2  # a replay of the same nonceTPM


def test_response_parameter_is_encrypted() -> None:
    tpm, _, _ = started()
    session = start(tpm, bind=OWNER, symmetric=AES_128_CFB)
    session.attributes = 0x41
    body = send(tpm, 0x17B, b"\0\x10", {}, session)
    clear = session.crypt(
        body[2:], session.nonce_tpm, session.nonce_caller, decrypt=True
    )
    again = started()[0]
    start(again, bind=OWNER, symmetric=AES_128_CFB)
    expected = again._inner.entropy.fork().random_bytes(16)
    assert clear == expected


def test_command_parameter_is_decrypted() -> None:
    tpm, _, _ = started()
    session = start(tpm, bind=OWNER, symmetric=AES_128_CFB)
    session.attributes = 0x21
    data = b"stir this in"
    hidden = session.crypt(data, session.nonce_caller, session.nonce_tpm, decrypt=False)
    other = tpm._inner.entropy.fork()
    other.stir(data)
    nonce = other.random_bytes(16)
    send(tpm, 0x146, two_b(hidden), {}, session)
    assert session.nonce_tpm == nonce  # drawn after the stir: the clear data went in


@pytest.mark.parametrize(
    ("attributes", "rc"),
    [(0x01, 0x982), (0x21, 0x982), (0x03, 0x982), (0x09, 0x9A1), (0x41, 0x996)],
)
def test_attributes_that_make_no_sense(attributes: int, rc: int) -> None:
    """Useless, nothing to decrypt, exclusive without audit, reserved, no cipher."""
    tpm, _, _ = started()
    session = start(tpm, bind=OWNER)
    session.attributes = attributes
    before = whole_state(tpm)
    assert rc_of(send(tpm, 0x17B, b"\0\x10", {}, session)) == rc
    assert whole_state(tpm) == before


def test_audit_digest_chains() -> None:
    tpm, _, _ = started()
    session = start(tpm, bind=OWNER)
    session.attributes = 0x81
    kept = tpm._inner.state.sessions.get(session.handle)
    assert kept is not None
    expected = bytes(32)
    code = (0x17B).to_bytes(4, "big")
    session.attributes = 0x83  # the first makes it exclusive
    for _ in range(2):
        body = send(tpm, 0x17B, b"\0\x08", {}, session)
        cp, rp = hash_of(SHA256, code, b"\0\x08"), hash_of(SHA256, bytes(4), code, body)
        expected = hash_of(SHA256, expected, cp, rp)
    assert kept.audit_digest == expected
    tpm.execute(command(0x17B, b"\0\x08"))
    assert rc_of(send(tpm, 0x17B, b"\0\x08", {}, session)) == 0x121


def test_three_loaded_sessions_and_no_more() -> None:
    tpm, _, _ = started()
    for _ in range(3):
        start(tpm)
    params = two_b(bytes(16)) + two_b(b"") + b"\0" + b"\0\x10" + b"\0\x0b"
    raw = command(0x176, params, handles=(0x40000007, 0x40000007))
    assert rc_of(tpm.execute(raw)) == 0x903


def test_two_handles_need_two_sessions() -> None:
    """PolicyNV authorizes one handle, ActivateCredential two."""
    tpm, _, _ = started()
    hierarchies = tpm._inner.state.hierarchies
    declared = Command(
        code=0x1FF,
        action=lambda inner, one, two: (),
        handles=(Handle(name="a", type=TPMI_RH_OWNER),) * 2,
    )
    call = Invocation(declared, [OWNER, OWNER], [hierarchies[OWNER]] * 2)
    password = SessionUse(
        handle=PW, session=None, nonce_caller=b"", attributes=0, auth=b""
    )
    authorize(tpm._inner, call, [password, password])
    with pytest.raises(Refusal) as caught:
        authorize(tpm._inner, call, [password])
    assert caught.value.rc == 0x125


def test_a_policy_is_good_for_one_command_and_the_session_lives_on() -> None:
    """With continueSession the use begins the policy afresh (measured)."""
    tpm, _, _ = started()
    policy = start(tpm, POLICY, symmetric=AES_128_CFB)
    asked = command(0x16B, handles=(policy.handle,))  # PolicyAuthValue
    assert rc_of(tpm.execute(asked)) == 0
    digest = command(0x189, handles=(policy.handle,))
    assert tpm.execute(digest)[12:] != bytes(32)
    area = session(policy.handle, bytes(16), 0x41)  # encrypts an answer
    assert rc_of(tpm.execute(command(0x17B, b"\0\x10", area=area))) == 0
    assert tpm.execute(digest)[12:] == bytes(32)


def test_a_wrong_hmac_that_authorizes_nothing_is_bad_auth() -> None:
    """ReadPublic of the recorded attack E1 (measured); nothing is counted."""
    tpm, _, _ = started()
    own = start(tpm, symmetric=AES_128_CFB)
    area = session(own.handle, bytes(16), 0x41, b"\1" * 32)
    raw = command(0x17B, b"\0\x10", area=area)
    assert [rc_of(tpm.execute(raw)) for _ in range(5)] == [0x9A2] * 5
