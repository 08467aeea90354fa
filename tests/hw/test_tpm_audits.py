"""Audit sessions and the command audit: digests computed again from outside."""

import hashlib

from pefstack.hw.tpm.engine import Tpm
from tpm_attest_kit import (
    ENDORSEMENT,
    NO_SCHEME,
    NULL,
    OWNER,
    Attest,
    signer,
)
from tpm_client_kit import send, start, two_b
from tpm_kit import (
    EMPTY_PASSWORD,
    SHUTDOWN_STATE,
    STARTUP_CLEAR,
    STARTUP_STATE,
    capability,
    command,
    power_cycle,
    rc_of,
    refusal,
    started,
    whole_state,
)

GET_RANDOM, SET_AUDIT = 0x17B, 0x140
CONTINUE, EXCLUSIVE, AUDIT = 1, 2, 0x80


def codes(*numbers: int) -> bytes:
    items = b"".join(number.to_bytes(4, "big") for number in numbers)
    return len(numbers).to_bytes(4, "big") + items


def set_audit(tpm: Tpm, alg: int = 0x10, more: bytes = b"", less: bytes = b"") -> bytes:
    params = alg.to_bytes(2, "big") + (more or codes()) + (less or codes())
    return tpm.execute(
        command(SET_AUDIT, params, handles=(OWNER,), area=EMPTY_PASSWORD)
    )


def command_audit(tpm: Tpm, key: int = NULL) -> tuple[int, int, bytes, bytes]:
    """auditCounter, digestAlg, auditDigest, commandDigest."""
    params = two_b(b"") + NO_SCHEME
    raw = command(0x133, params, handles=(ENDORSEMENT, key), area=EMPTY_PASSWORD * 2)
    said = Attest(tpm.execute(raw))
    assert said.type == 0x8015
    return said.number(8), said.number(2), said.sized(), said.sized()


def listed(tpm: Tpm) -> list[int]:
    raw = tpm.execute(capability(4, 0, 100))[19:]
    return [int.from_bytes(raw[at : at + 4], "big") for at in range(0, len(raw), 4)]


def hashes(code: int, names: bytes, params: bytes, results: bytes) -> bytes:
    """cpHash || rpHash under SHA-512."""
    number = code.to_bytes(4, "big")
    cp = hashlib.sha512(number + names + params).digest()
    return cp + hashlib.sha512(bytes(4) + number + results).digest()


def test_at_first_the_change_of_the_audit_is_audited() -> None:
    tpm, _, _ = started()
    assert listed(tpm) == [SET_AUDIT]
    expected = hashlib.sha512(SET_AUDIT.to_bytes(4, "big")).digest()
    assert command_audit(tpm) == (0, 0x0D, b"", expected)


def test_the_digest_is_over_every_audited_command() -> None:
    tpm, _, _ = started()
    more = codes(GET_RANDOM)
    assert rc_of(set_audit(tpm, more=more)) == 0
    params = b"\0\x10" + more + codes()
    digest = bytes(64)
    owner = OWNER.to_bytes(4, "big")
    digest = hashlib.sha512(digest + hashes(SET_AUDIT, owner, params, b"")).digest()
    answer = tpm.execute(command(GET_RANDOM, b"\0\4"))
    digest = hashlib.sha512(
        digest + hashes(GET_RANDOM, b"", b"\0\4", answer[10:])
    ).digest()
    tpm.execute(command(0x181))  # ReadClock is not audited
    assert tpm.execute(command(GET_RANDOM, b"\0")) == refusal(0x1DA)  # nor a refusal
    both = SET_AUDIT.to_bytes(4, "big") + GET_RANDOM.to_bytes(4, "big")
    expected = (1, 0x0D, digest, hashlib.sha512(both).digest())
    assert command_audit(tpm) == command_audit(tpm) == expected


def test_a_hidden_answer_is_audited_in_clear() -> None:
    """So does the reference; an audit session hashes it hidden."""
    tpm, _, _ = started()
    assert rc_of(set_audit(tpm, more=codes(GET_RANDOM))) == 0
    before = command_audit(tpm)[2]
    client = start(tpm, bind=OWNER, symmetric=bytes.fromhex("000600800043"))
    client.attributes = CONTINUE | 0x40
    body = send(tpm, GET_RANDOM, b"\0\4", {}, client)
    older = client.nonce_caller
    clear = client.crypt(body[2:], client.nonce_tpm, older, decrypt=True)
    pair = hashes(GET_RANDOM, b"", b"\0\4", two_b(clear))
    assert command_audit(tpm)[2] == hashlib.sha512(before + pair).digest()


def test_a_signed_digest_begins_anew() -> None:
    tpm, _, _ = started()
    assert rc_of(set_audit(tpm)) == 0
    key = signer(tpm)
    first = command_audit(tpm, key)
    assert (first[0], len(first[2])) == (1, 64)
    assert command_audit(tpm, key)[2] == b""
    assert rc_of(set_audit(tpm)) == 0
    assert command_audit(tpm)[0] == 2


def test_another_hash_begins_anew_and_is_not_audited() -> None:
    tpm, _, _ = started()
    assert rc_of(set_audit(tpm)) == 0
    assert rc_of(set_audit(tpm, 0x0B)) == 0
    counter, alg, digest, command_digest = command_audit(tpm)
    assert (counter, alg, digest, len(command_digest)) == (1, 0x0B, b"", 32)
    assert rc_of(set_audit(tpm)) == 0
    assert command_audit(tpm)[0] == 2


def test_what_is_always_and_what_is_never_audited() -> None:
    tpm, _, _ = started()
    more = codes(GET_RANDOM, 0x145, 0x999)  # Shutdown, and no command
    assert rc_of(set_audit(tpm, more=more)) == 0
    assert listed(tpm) == [SET_AUDIT, GET_RANDOM]
    less = codes(SET_AUDIT, GET_RANDOM, 0x999)
    assert rc_of(set_audit(tpm, less=less)) == 0
    assert listed(tpm) == [SET_AUDIT]


def test_not_the_hash_and_the_list_at_once() -> None:
    tpm, _, _ = started()
    before = whole_state(tpm)
    for more, less in ((codes(GET_RANDOM), b""), (b"", codes(GET_RANDOM))):
        assert set_audit(tpm, 0x0B, more, less) == refusal(0x1C4)
    assert whole_state(tpm) == before


def test_the_digest_survives_resume_and_not_reset() -> None:
    tpm, _, _ = started()
    assert rc_of(set_audit(tpm, more=codes(GET_RANDOM))) == 0
    digest = command_audit(tpm)[2]
    tpm.execute(SHUTDOWN_STATE)
    power_cycle(tpm)
    assert rc_of(tpm.execute(STARTUP_STATE)) == 0
    assert command_audit(tpm)[2] == digest
    power_cycle(tpm)
    assert rc_of(tpm.execute(STARTUP_CLEAR)) == 0
    assert command_audit(tpm)[:3] == (1, 0x0D, b"")
    assert listed(tpm) == [SET_AUDIT, GET_RANDOM]


def session_audit(tpm: Tpm, handle: int) -> bytes:
    handles = ENDORSEMENT, NULL, handle
    params = two_b(b"") + NO_SCHEME
    return tpm.execute(command(0x14D, params, handles=handles, area=EMPTY_PASSWORD * 2))


def test_a_session_audit_is_over_the_commands_of_the_session() -> None:
    tpm, _, _ = started()
    client = start(tpm, bind=OWNER)
    assert session_audit(tpm, client.handle) == refusal(0x38A)
    client.attributes = CONTINUE | AUDIT | EXCLUSIVE
    digest = bytes(32)
    for count in (b"\0\4", b"\0\7"):
        body = send(tpm, GET_RANDOM, count, {}, client)
        number = GET_RANDOM.to_bytes(4, "big")
        cp = hashlib.sha256(number + count).digest()
        rp = hashlib.sha256(bytes(4) + number + body).digest()
        digest = hashlib.sha256(digest + cp + rp).digest()
    said = Attest(session_audit(tpm, client.handle))
    assert said.type == 0x8016
    assert said.rest[1:] == two_b(digest)


def test_a_command_outside_ends_the_exclusive_audit() -> None:
    tpm, _, _ = started()
    client = start(tpm, bind=OWNER)
    client.attributes = CONTINUE | AUDIT | EXCLUSIVE
    send(tpm, GET_RANDOM, b"\0\4", {}, client)
    assert Attest(session_audit(tpm, client.handle)).rest[0] == 1
    assert Attest(session_audit(tpm, client.handle)).rest[0] == 0
