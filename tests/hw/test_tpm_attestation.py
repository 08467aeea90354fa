"""Quote, Certify, CertifyCreation, GetTime, NV_Certify: what is said, who says it."""

import hashlib

import pytest

from pefstack.hw.tpm.engine import Tpm
from tpm_attest_kit import ENDORSEMENT, NO_SCHEME, NULL, OWNER, USES, Attest, signer
from tpm_client_kit import kdfa, two_b
from tpm_key_kit import (
    ecc_areas,
    hmac_areas,
    put_in,
    rsa_areas,
)
from tpm_kit import (
    ALL_BANKS,
    EMPTY_PASSWORD,
    STARTUP_CLEAR,
    command,
    event,
    power_cycle,
    rc_of,
    read_one,
    refusal,
    selections,
    session,
    started,
    whole_state,
)

PLATFORM = 0x4000000C
INDEX = 0x01000010
FIRMWARE = 1 << 32


def name_of(areas: tuple[bytes, bytes], hierarchy: int) -> tuple[bytes, bytes]:
    """Name and qualified Name of a key right below its hierarchy."""
    name = b"\0\x0b" + hashlib.sha256(areas[0]).digest()
    above = hierarchy.to_bytes(4, "big")
    return name, b"\0\x0b" + hashlib.sha256(above + name).digest()


def quote(tpm: Tpm, key: int, select: bytes, scheme: bytes = NO_SCHEME) -> bytes:
    params = two_b(b"nonce") + scheme + select
    return tpm.execute(command(0x158, params, handles=(key,), area=EMPTY_PASSWORD))


def test_quote_says_what_the_pcrs_are() -> None:
    tpm, _, _ = started(banks=ALL_BANKS, allocated=ALL_BANKS)
    tpm.execute(event(6, b"x"))
    answer = quote(tpm, signer(tpm), selections((4, "410000"), (0xB, "400000")))
    said = Attest(answer)
    said.check_hmac()
    values = read_one(tpm, 4, 0), read_one(tpm, 4, 6), read_one(tpm, 0xB, 6)
    digest = hashlib.sha256(b"".join(values)).digest()
    selected = selections((4, "410000"), (0xB, "400000"))
    assert (said.type, said.extra) == (0x8018, b"nonce")
    assert said.signer == name_of(hmac_areas(USES), ENDORSEMENT)[1]
    assert said.rest == selected + two_b(digest)


def test_quote_says_which_pcrs_there_are_not() -> None:
    tpm, _, _ = started()  # SHA-256 alone is allocated
    said = Attest(quote(tpm, signer(tpm), selections((4, "ffffff"), (0xB, "010000"))))
    digest = hashlib.sha256(read_one(tpm, 0xB, 0)).digest()
    expected = selections((4, "000000"), (0xB, "010000")) + two_b(digest)
    assert said.rest == expected


def test_more_pcrs_than_one_pcr_read_gives() -> None:
    tpm, _, _ = started()
    said = Attest(quote(tpm, signer(tpm), selections((0xB, "ffffff"))))
    values = b"".join(read_one(tpm, 0xB, pcr) for pcr in range(24))
    assert said.rest[-32:] == hashlib.sha256(values).digest()


@pytest.mark.parametrize("hierarchy", [ENDORSEMENT, PLATFORM])
def test_endorsement_and_platform_say_the_counts_in_clear(hierarchy: int) -> None:
    tpm, _, clock = started()
    power_cycle(tpm)
    assert rc_of(tpm.execute(STARTUP_CLEAR)) == 0
    clock.advance(5000)
    key = signer(tpm, hierarchy)
    said = Attest(quote(tpm, key, selections()))
    assert (said.clock, said.resets, said.restarts) == (5000, 2, 0)
    assert (said.safe, said.firmware) == (1, FIRMWARE)


@pytest.mark.parametrize("hierarchy", [OWNER, NULL])
def test_others_hide_the_counts_by_the_owners_proof(hierarchy: int) -> None:
    tpm, _, _ = started()
    key = signer(tpm, hierarchy)
    said = Attest(quote(tpm, key, selections()))
    proof = tpm._inner.state.hierarchies[OWNER].proof
    mask = kdfa(0x0D, proof, b"OBFUSCATE", said.signer, b"", 128)
    first = int.from_bytes(mask[:8], "big")
    resets, restarts = (int.from_bytes(mask[at : at + 4], "big") for at in (8, 12))
    assert said.firmware == (FIRMWARE + first) % (1 << 64)
    assert said.resets == (1 + resets) % (1 << 32)
    assert said.restarts == restarts
    assert mask not in said.raw


def test_two_signers_cannot_be_told_to_be_on_one_tpm() -> None:
    tpm, _, _ = started()
    first = Attest(quote(tpm, signer(tpm, OWNER), selections()))
    other = put_in(tpm, ecc_areas(USES, "0018000b"), hierarchy=OWNER)
    second = Attest(quote(tpm, other, selections()))
    assert first.firmware != second.firmware
    assert first.resets != second.resets


def test_certify_says_name_and_qualified_name() -> None:
    tpm, _, _ = started()
    areas = rsa_areas(USES, auth=b"pw")
    certified = put_in(tpm, areas, hierarchy=OWNER)
    params = two_b(b"why") + NO_SCHEME
    area = session(auth=b"pw") + EMPTY_PASSWORD
    handles = certified, signer(tpm)
    said = Attest(tpm.execute(command(0x148, params, handles=handles, area=area)))
    said.check_hmac()
    name, qualified = name_of(areas, OWNER)
    assert (said.type, said.extra) == (0x8017, b"why")
    assert said.rest == two_b(name) + two_b(qualified)


def test_certify_without_a_key_is_not_signed() -> None:
    tpm, _, _ = started()
    certified = put_in(tpm, rsa_areas(USES))
    raw = command(
        0x148,
        two_b(b"") + NO_SCHEME,
        handles=(certified, NULL),
        area=EMPTY_PASSWORD * 2,
    )
    said = Attest(tpm.execute(raw))
    assert said.signer == NULL.to_bytes(4, "big")
    assert said.signature == NO_SCHEME + EMPTY_RESPONSES * 2


EMPTY_RESPONSES = bytes.fromhex("0000010000")


def test_certify_needs_the_admin_of_the_object() -> None:
    """adminWithPolicy is set: no password will do."""
    tpm, _, _ = started()
    certified = put_in(tpm, rsa_areas(USES | 1 << 7))
    raw = command(
        0x148,
        two_b(b"") + NO_SCHEME,
        handles=(certified, NULL),
        area=EMPTY_PASSWORD * 2,
    )
    assert tpm.execute(raw) == refusal(0x124)


def created(tpm: Tpm, hierarchy: int = OWNER) -> tuple[int, bytes, bytes]:
    """A primary key: handle, creationHash, creationTicket."""
    public = bytes.fromhex("0023000b00040472000000100018000b000300100000 0000")
    params = two_b(bytes(4)) + two_b(public) + two_b(b"") + bytes(4)
    raw = command(0x131, params, handles=(hierarchy,), area=EMPTY_PASSWORD)
    answer = tpm.execute(raw)
    assert rc_of(answer) == 0, hex(rc_of(answer))
    at = 18
    for _ in range(2):  # outPublic, creationData
        at += 2 + int.from_bytes(answer[at : at + 2], "big")
    creation_hash, ticket = answer[at + 2 : at + 34], answer[at + 34 :]
    size = 8 + int.from_bytes(ticket[6:8], "big")
    return int.from_bytes(answer[10:14], "big"), creation_hash, ticket[:size]


def certify_creation(
    tpm: Tpm, key: int, made: int, creation_hash: bytes, ticket: bytes
) -> bytes:
    params = two_b(b"q") + two_b(creation_hash) + NO_SCHEME + ticket
    return tpm.execute(command(0x14A, params, handles=(key, made), area=EMPTY_PASSWORD))


def test_certify_creation_believes_its_own_ticket_alone() -> None:
    tpm, _, _ = started()
    made, creation_hash, ticket = created(tpm)
    key = signer(tpm)
    said = Attest(certify_creation(tpm, key, made, creation_hash, ticket))
    said.check_hmac()
    assert said.type == 0x801A
    assert said.rest[36:] == two_b(creation_hash)
    before = whole_state(tpm)
    for wrong_hash, wrong_ticket in (
        (bytes(32), ticket),
        (creation_hash, ticket[:-1] + bytes((ticket[-1] ^ 1,))),
        (creation_hash, bytes.fromhex("8021400000070000")),
    ):
        answer = certify_creation(tpm, key, made, wrong_hash, wrong_ticket)
        assert answer == refusal(0x4E0)
    assert certify_creation(tpm, key, key, creation_hash, ticket) == refusal(0x4E0)
    assert whole_state(tpm) == before


def test_get_time_says_everything_in_clear() -> None:
    tpm, _, clock = started()
    clock.advance(1234)
    handles = ENDORSEMENT, signer(tpm, OWNER)
    params = two_b(b"") + NO_SCHEME
    raw = command(0x14C, params, handles=handles, area=EMPTY_PASSWORD * 2)
    said = Attest(tpm.execute(raw))
    said.check_hmac()
    assert said.type == 0x8019
    expected = b"".join(
        number.to_bytes(size, "big")
        for number, size in ((1234, 8), (1234, 8), (1, 4), (0, 4), (1, 1))
    )
    assert said.rest == expected + FIRMWARE.to_bytes(8, "big")
    assert said.resets != 1  # but hidden in the part that every attestation has


def with_index(tpm: Tpm, size: int = 16) -> bytes:
    """An index that was written; its content."""
    public = INDEX.to_bytes(4, "big") + b"\0\x0b" + (0x40004).to_bytes(4, "big")
    public += two_b(b"") + size.to_bytes(2, "big")
    define = two_b(b"") + two_b(public)
    data = bytes(range(size % 256)).ljust(size, b"\7")
    for raw in (
        command(0x12A, define, handles=(OWNER,), area=EMPTY_PASSWORD),
        *(
            command(
                0x137,
                two_b(data[at : at + 1024]) + at.to_bytes(2, "big"),
                handles=(INDEX, INDEX),
                area=EMPTY_PASSWORD,
            )
            for at in range(0, size, 1024)
        ),
    ):
        assert rc_of(tpm.execute(raw)) == 0
    return data


def certify_nv(tpm: Tpm, key: int, size: int, offset: int) -> bytes:
    params = (
        two_b(b"") + NO_SCHEME + size.to_bytes(2, "big") + offset.to_bytes(2, "big")
    )
    handles = key, INDEX, INDEX
    return tpm.execute(command(0x184, params, handles=handles, area=EMPTY_PASSWORD * 2))


def test_nv_certify_says_what_is_written() -> None:
    tpm, _, _ = started()
    data, key = with_index(tpm), signer(tpm)
    name = tpm._inner.state.nv.by_handle[INDEX].name
    said = Attest(certify_nv(tpm, key, 8, 4))
    said.check_hmac()
    assert said.type == 0x8014
    assert said.rest == two_b(name) + b"\0\4" + two_b(data[4:12])
    said = Attest(certify_nv(tpm, key, 0, 0))
    said.check_hmac()
    assert said.type == 0x801C
    assert said.rest == two_b(name) + two_b(hashlib.sha256(data).digest())


def test_nv_certify_keeps_to_the_index_and_the_buffer() -> None:
    tpm, _, _ = started()
    with_index(tpm, 2048)
    key = signer(tpm)
    assert certify_nv(tpm, key, 1, 2048) == refusal(0x146)
    assert certify_nv(tpm, key, 2, 0xFFFF) == refusal(0x146)
    assert certify_nv(tpm, key, 1025, 0) == refusal(0x3C4)
    assert Attest(certify_nv(tpm, key, 1024, 1024)).type == 0x8014


def test_ecdaa_says_neither_who_nor_why() -> None:
    tpm, _, _ = started()
    key = put_in(tpm, ecc_areas(USES, "001a000b0000"), hierarchy=ENDORSEMENT)
    nothing = two_b(two_b(b"") + two_b(b"")) + two_b(b"") * 2
    answer = tpm.execute(command(0x18B, nothing, handles=(key,), area=EMPTY_PASSWORD))
    assert rc_of(answer) == 0
    count = answer[-7:-5]
    said = Attest(quote(tpm, key, selections(), bytes.fromhex("001a000b") + count))
    assert (said.signer, said.extra) == (b"", b"")
    assert said.signature[:4] == bytes.fromhex("001a000b")
    again = quote(tpm, key, selections(), bytes.fromhex("001a000b") + count)
    assert again == refusal(0x84)
