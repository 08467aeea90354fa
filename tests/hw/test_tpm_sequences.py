"""Hash, HMAC and event sequences, and the ticket at their end."""

import hashlib
import hmac

import pytest

from pefstack.hw.tpm.engine import Tpm
from tpm_attest_kit import NULL, OWNER
from tpm_client_kit import send, start, two_b
from tpm_key_kit import HMAC_KEY, NO_DA, SIGN, USER, hmac_areas, put_in, rsa_areas
from tpm_kit import (
    ALL_BANKS,
    EMPTY_PASSWORD,
    SHA256,
    SIZE,
    command,
    rc_of,
    read_one,
    refusal,
    session,
    started,
    update_counter,
    whole_state,
)

NO_TICKET = bytes.fromhex("8024400000070000")
NAME = {4: "sha1", 0x0B: "sha256", 0x0C: "sha384", 0x0D: "sha512"}


def begin(tpm: Tpm, alg: int = SHA256, auth: bytes = b"") -> int:
    answer = tpm.execute(command(0x186, two_b(auth) + alg.to_bytes(2, "big")))
    assert rc_of(answer) == 0
    return int.from_bytes(answer[10:14], "big")


def update(tpm: Tpm, sequence: int, data: bytes, auth: bytes = b"") -> bytes:
    area = session(auth=auth)
    return tpm.execute(command(0x15C, two_b(data), handles=(sequence,), area=area))


def complete(
    tpm: Tpm, sequence: int, data: bytes = b"", hierarchy: int = OWNER
) -> bytes:
    params = two_b(data) + hierarchy.to_bytes(4, "big")
    raw = command(0x13E, params, handles=(sequence,), area=EMPTY_PASSWORD)
    return tpm.execute(raw)


def parts(answer: bytes) -> tuple[bytes, bytes]:
    """Result and ticket."""
    assert rc_of(answer) == 0, hex(rc_of(answer))
    size = int.from_bytes(answer[14:16], "big")
    return answer[16 : 16 + size], answer[16 + size : -5]


@pytest.mark.parametrize("alg", NAME)
def test_a_hash_in_parts_is_the_hash(alg: int) -> None:
    tpm, _, _ = started()
    sequence = begin(tpm, alg)
    message = bytes(range(256)) * 5
    for at in range(0, 1024, 512):
        assert rc_of(update(tpm, sequence, message[at : at + 512])) == 0
    result, ticket = parts(complete(tpm, sequence, message[1024:]))
    assert result == hashlib.new(NAME[alg], message).digest()
    assert ticket[:8] == bytes.fromhex("8024400000010040")
    assert complete(tpm, sequence) == refusal(0x910)  # the slot is free


def test_the_ticket_is_the_one_of_hash() -> None:
    tpm, _, _ = started()
    sequence = begin(tpm)
    _, ticket = parts(complete(tpm, sequence, b"message"))
    params = two_b(b"message") + b"\0\x0b" + OWNER.to_bytes(4, "big")
    assert tpm.execute(command(0x17D, params))[44:] == ticket


@pytest.mark.parametrize(
    ("first", "is_safe"),
    [
        (b"\xffTCG", False),
        (b"\xffTCGmore", False),
        (b"\xffTC", False),  # the next block could go on with a G
        (b"", False),
        (b"abc", False),
        (b"abcd", True),
    ],
)
@pytest.mark.parametrize("is_only_block", [False, True])
def test_no_ticket_unless_the_first_block_is_no_attestation(
    first: bytes, is_safe: bool, is_only_block: bool
) -> None:
    tpm, _, _ = started()
    sequence = begin(tpm)
    if not is_only_block:
        update(tpm, sequence, first)
    last = first if is_only_block else b"more of the message"
    _, ticket = parts(complete(tpm, sequence, last))
    assert (ticket != NO_TICKET) is is_safe
    assert (ticket[2:6] == OWNER.to_bytes(4, "big")) is is_safe


def test_no_ticket_of_the_null_hierarchy() -> None:
    tpm, _, _ = started()
    sequence = begin(tpm)
    assert parts(complete(tpm, sequence, b"message", NULL))[1] == NO_TICKET


def test_hmac_in_parts_is_the_hmac_and_has_no_ticket() -> None:
    tpm, _, _ = started()
    key = put_in(tpm, hmac_areas(SIGN | USER))
    raw = command(0x15B, two_b(b"") + b"\0\x10", handles=(key,), area=EMPTY_PASSWORD)
    sequence = int.from_bytes(tpm.execute(raw)[10:14], "big")
    assert rc_of(tpm.execute(command(0x165, key.to_bytes(4, "big")))) == 0
    update(tpm, sequence, b"one ")
    result, ticket = parts(complete(tpm, sequence, b"two"))
    assert result == hmac.digest(HMAC_KEY, b"one two", "sha256")
    assert ticket == NO_TICKET


def test_an_event_sequence_extends_every_bank() -> None:
    tpm, journal, _ = started(banks=ALL_BANKS, allocated=ALL_BANKS)
    sequence = begin(tpm, 0x10)
    update(tpm, sequence, b"ev")
    count = update_counter(tpm)
    raw = command(0x185, two_b(b"ent"), handles=(3, sequence), area=EMPTY_PASSWORD * 2)
    answer = tpm.execute(raw)
    assert rc_of(answer) == 0
    expected = b"".join(
        alg.to_bytes(2, "big") + hashlib.new(NAME[alg], b"event").digest()
        for alg in NAME
    )
    assert answer[14:-10] == b"\0\0\0\4" + expected
    for alg in NAME:
        digest = hashlib.new(NAME[alg], b"event").digest()
        value = hashlib.new(NAME[alg], bytes(SIZE[alg]) + digest).digest()
        assert read_one(tpm, alg, 3) == value
    assert update_counter(tpm) == count + 4
    assert [each.kind for each in journal][-4:] == ["extend"] * 4


def test_an_event_sequence_without_pcr_only_hashes() -> None:
    tpm, _, _ = started()
    sequence = begin(tpm, 0x10)
    raw = command(0x185, two_b(b"x"), handles=(NULL, sequence), area=EMPTY_PASSWORD * 2)
    count = update_counter(tpm)
    assert rc_of(tpm.execute(raw)) == 0
    assert update_counter(tpm) == count


def test_kinds_are_not_mixed_and_refusals_change_nothing() -> None:
    tpm, _, _ = started(transient_slots=4)
    hash_, event = begin(tpm), begin(tpm, 0x10)
    key = put_in(tpm, rsa_areas(SIGN | USER | NO_DA))
    pcr = command(0x185, two_b(b""), handles=(20, event), area=EMPTY_PASSWORD * 2)
    before = whole_state(tpm)
    assert complete(tpm, event) == refusal(0x189)
    assert complete(tpm, key) == refusal(0x189)
    assert update(tpm, key, b"x") == refusal(0x1C9)  # as swtpm 0.7.1 numbers it
    for other in (hash_, key):
        raw = command(0x185, two_b(b""), handles=(16, other), area=EMPTY_PASSWORD * 2)
        assert tpm.execute(raw) == refusal(0x289)
    assert tpm.execute(pcr) == refusal(0x907)
    assert whole_state(tpm) == before


def test_a_sequence_has_its_own_auth_value() -> None:
    tpm, _, _ = started()
    sequence = begin(tpm, auth=b"pw\0")
    before = whole_state(tpm)
    assert update(tpm, sequence, b"x", b"wrong") == refusal(0x9A2)
    assert whole_state(tpm) == before
    assert rc_of(update(tpm, sequence, b"x", b"pw")) == 0


def test_the_last_answer_is_proven_with_the_sequences_auth_value() -> None:
    """The slot is free by then; `send` checks the HMAC of the response."""
    tpm, _, _ = started()
    sequence = begin(tpm, auth=b"pw")
    client = start(tpm)
    client.entity_auth = b"pw"
    params = two_b(b"message") + NULL.to_bytes(4, "big")
    body = send(tpm, 0x13E, params, {sequence: b""}, client)
    assert body[2:34] == hashlib.sha256(b"message").digest()


def test_slots_run_out() -> None:
    tpm, _, _ = started()
    for _ in range(3):
        begin(tpm)
    assert tpm.execute(command(0x186, two_b(b"") + b"\0\x0b")) == refusal(0x902)


def test_a_fork_goes_on_by_itself() -> None:
    tpm, journal, _ = started()
    sequence = begin(tpm)
    update(tpm, sequence, b"\xffTCG")
    other = tpm.fork(journal)
    update(other, sequence, b"x")
    assert parts(complete(tpm, sequence))[0] == hashlib.sha256(b"\xffTCG").digest()
    result, ticket = parts(complete(other, sequence))
    assert (result, ticket) == (hashlib.sha256(b"\xffTCGx").digest(), NO_TICKET)
