"""Sign, VerifySignature, and every signature checked by other code."""

import hashlib
import hmac

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric import rsa as rsa_package
from cryptography.hazmat.primitives.asymmetric.utils import (
    Prehashed,
    encode_dss_signature,
)

from pefstack.hw.tpm.engine import Tpm
from tpm_client_kit import send, start, two_b
from tpm_key_kit import (
    CURVE,
    D_ECC,
    HMAC_KEY,
    NO_DA,
    RESTRICTED,
    SIGN,
    USER,
    N,
    ecc_areas,
    hmac_areas,
    put_in,
    rsa_areas,
)
from tpm_kit import (
    EMPTY_PASSWORD,
    command,
    rc_of,
    refusal,
    session,
    started,
    whole_state,
)

HASHES = {
    4: hashes.SHA1(),
    0x0B: hashes.SHA256(),
    0x0C: hashes.SHA384(),
    0x0D: hashes.SHA512(),
}
OWNER, ENDORSEMENT, NULL = 0x40000001, 0x4000000B, 0x40000007
NO_TICKET = bytes.fromhex("8024400000070000")
MESSAGE = b"a message"


def digest_of(alg: int, message: bytes = MESSAGE) -> bytes:
    return hashlib.new(HASHES[alg].name, message).digest()


def sign_params(
    alg: int, scheme: int, *, digest: bytes = b"", ticket: bytes = NO_TICKET
) -> bytes:
    head = two_b(digest or digest_of(alg))
    return head + scheme.to_bytes(2, "big") + alg.to_bytes(2, "big") + ticket


def signed(tpm: Tpm, key: int, params: bytes, auth: bytes = b"") -> bytes:
    """TPMT_SIGNATURE, or the whole refusal."""
    area = session(auth=auth)
    answer = tpm.execute(command(0x15D, params, handles=(key,), area=area))
    return answer if rc_of(answer) else answer[14:-5]


def verified(tpm: Tpm, key: int, digest: bytes, signature: bytes) -> bytes:
    return tpm.execute(command(0x177, two_b(digest) + signature, handles=(key,)))


def hashed(tpm: Tpm, message: bytes, hierarchy: int = OWNER) -> tuple[bytes, bytes]:
    """TPM2_Hash: digest and ticket."""
    params = two_b(message) + b"\0\x0b" + hierarchy.to_bytes(4, "big")
    answer = tpm.execute(command(0x17D, params))
    assert rc_of(answer) == 0
    return answer[12:44], answer[44:]


@pytest.mark.parametrize("alg", HASHES)
@pytest.mark.parametrize("scheme", [0x14, 0x16])
def test_rsa_signatures_are_good(alg: int, scheme: int) -> None:
    tpm, _, _ = started()
    key = put_in(tpm, rsa_areas())
    raw = signed(tpm, key, sign_params(alg, scheme))
    assert raw[:6] == scheme.to_bytes(2, "big") + alg.to_bytes(2, "big") + b"\1\0"
    public = rsa_package.RSAPublicNumbers(65537, N).public_key()
    digest, prehashed = digest_of(alg), Prehashed(HASHES[alg])
    form = (
        padding.PKCS1v15()
        if scheme == 0x14
        else padding.PSS(padding.MGF1(HASHES[alg]), padding.PSS.AUTO)
    )
    public.verify(raw[6:], digest, form, prehashed)
    with pytest.raises(InvalidSignature):
        public.verify(raw[6:], digest_of(alg, b"other"), form, prehashed)
    assert rc_of(verified(tpm, key, digest, raw)) == 0
    assert rc_of(verified(tpm, key, digest_of(alg, b"other"), raw)) == 0x2DB
    damaged = raw[:-1] + bytes((raw[-1] ^ 1,))
    assert rc_of(verified(tpm, key, digest, damaged)) == 0x2DB


@pytest.mark.parametrize("curve", CURVE)
@pytest.mark.parametrize("alg", HASHES)
def test_ecdsa_signatures_are_good(curve: int, alg: int) -> None:
    tpm, _, _ = started()
    key = put_in(tpm, ecc_areas(curve=curve))
    raw = signed(tpm, key, sign_params(alg, 0x18))
    size = (CURVE[curve].key_size + 7) // 8
    assert len(raw) == 4 + 2 * (2 + size)
    r = int.from_bytes(raw[6 : 6 + size], "big")
    s = int.from_bytes(raw[8 + size :], "big")
    public = ec.derive_private_key(D_ECC, CURVE[curve]).public_key()
    scheme = ec.ECDSA(Prehashed(HASHES[alg]))
    public.verify(encode_dss_signature(r, s), digest_of(alg), scheme)
    assert rc_of(verified(tpm, key, digest_of(alg), raw)) == 0
    assert rc_of(verified(tpm, key, digest_of(alg, b"other"), raw)) == 0x2DB


def test_schnorr_signatures_verify_here() -> None:
    tpm, _, _ = started()
    key = put_in(tpm, ecc_areas())
    raw = signed(tpm, key, sign_params(0x0B, 0x1C))
    assert raw[:2] == b"\0\x1c"
    assert rc_of(verified(tpm, key, digest_of(0x0B), raw)) == 0
    assert rc_of(verified(tpm, key, digest_of(0x0B, b"other"), raw)) == 0x2DB


def test_hmac_signature_is_the_hmac() -> None:
    tpm, _, _ = started()
    key = put_in(tpm, hmac_areas())
    raw = signed(tpm, key, sign_params(0x0B, 0x05))
    expected = hmac.digest(HMAC_KEY, digest_of(0x0B), "sha256")
    assert raw == bytes.fromhex("0005000b") + expected
    assert rc_of(verified(tpm, key, digest_of(0x0B), raw)) == 0
    public_only = put_in(tpm, hmac_areas(), public_only=True)
    assert rc_of(verified(tpm, public_only, digest_of(0x0B), raw)) == 0x2CB


def test_hmac_of_another_hash_than_the_keys_is_no_signature() -> None:
    tpm, _, _ = started()
    key = put_in(tpm, hmac_areas())
    digest = digest_of(0x0C)
    value = hmac.digest(HMAC_KEY, digest, "sha384")
    answer = verified(tpm, key, digest, bytes.fromhex("0005000c") + value)
    assert rc_of(answer) == 0x2DB


def test_two_signatures_of_one_digest_differ_where_they_must() -> None:
    tpm, _, _ = started()
    key = put_in(tpm, ecc_areas())
    params = sign_params(0x0B, 0x18)
    first, second = (signed(tpm, key, params) for _ in range(2))
    assert first[6:38] != second[6:38]  # one r twice gives the private key away


def test_the_ticket_of_verify_is_of_the_hierarchy() -> None:
    tpm, _, _ = started()
    for hierarchy in (OWNER, ENDORSEMENT):
        key = put_in(tpm, rsa_areas(), hierarchy=hierarchy)
        raw = signed(tpm, key, sign_params(0x0B, 0x14))
        ticket = verified(tpm, key, digest_of(0x0B), raw)[10:]
        assert ticket[:6] == b"\x80\x22" + hierarchy.to_bytes(4, "big")
        assert ticket[6:8] == b"\0\x40"
        assert any(ticket[8:])


def test_no_ticket_of_the_null_hierarchy_or_without_a_name() -> None:
    tpm, _, _ = started()
    for areas, hierarchy in (
        (rsa_areas(), NULL),
        (rsa_areas(name_alg=0x10), OWNER),
    ):
        key = put_in(tpm, areas, hierarchy=hierarchy)
        raw = signed(tpm, key, sign_params(0x0B, 0x14))
        ticket = verified(tpm, key, digest_of(0x0B), raw)[10:]
        assert ticket == bytes.fromhex("8022400000070000")


def test_a_restricted_key_signs_what_the_tpm_hashed_and_nothing_else() -> None:
    tpm, _, _ = started()
    uses = SIGN | USER | RESTRICTED
    key = put_in(tpm, rsa_areas(uses, "0014000b"), hierarchy=OWNER)
    digest, ticket = hashed(tpm, MESSAGE)
    assert digest == digest_of(0x0B)
    params = sign_params(0x0B, 0x14, ticket=ticket)
    assert signed(tpm, key, params)[:2] == b"\0\x14"
    before = whole_state(tpm)
    for wrong in (
        sign_params(0x0B, 0x14),
        sign_params(0x0B, 0x14, digest=bytes(32), ticket=ticket),
        sign_params(0x0B, 0x14, ticket=ticket[:-1] + bytes((ticket[-1] ^ 1,))),
        sign_params(0x0B, 0x14, ticket=ticket.replace(b"\x01\0\x40", b"\x0b\0\x40")),
    ):
        assert signed(tpm, key, wrong) == refusal(0x3E0)
    assert whole_state(tpm) == before


def test_no_ticket_for_what_begins_like_an_attestation() -> None:
    tpm, _, _ = started()
    assert hashed(tpm, b"\xffTCG and more")[1] == NO_TICKET
    assert hashed(tpm, b"\xffTC")[1] != NO_TICKET
    assert hashed(tpm, b" \xffTCG")[1] != NO_TICKET
    assert hashed(tpm, MESSAGE, NULL)[1] == NO_TICKET


def test_a_ticket_is_good_for_an_unrestricted_key_too_and_must_be_right() -> None:
    tpm, _, _ = started()
    key = put_in(tpm, rsa_areas())
    _, ticket = hashed(tpm, MESSAGE)
    assert signed(tpm, key, sign_params(0x0B, 0x14, ticket=ticket))[:2] == b"\0\x14"
    wrong = sign_params(0x0B, 0x14, digest=bytes(32), ticket=ticket)
    assert signed(tpm, key, wrong) == refusal(0x3E0)


def test_a_key_for_certificates_alone_does_not_sign_digests() -> None:
    tpm, _, _ = started()
    key = put_in(tpm, rsa_areas(SIGN | USER | 1 << 19, "0014000b"))
    assert signed(tpm, key, sign_params(0x0B, 0x14)) == refusal(0x182)


def test_a_public_area_signs_nothing() -> None:
    tpm, _, _ = started()
    key = put_in(tpm, rsa_areas(), public_only=True)
    assert signed(tpm, key, sign_params(0x0B, 0x14)) == refusal(0x12F)


def test_a_wrong_password_signs_nothing() -> None:
    tpm, _, _ = started()
    key = put_in(tpm, rsa_areas(SIGN | USER | NO_DA, auth=b"right"))
    assert signed(tpm, key, sign_params(0x0B, 0x14), b"wrong") == refusal(0x9A2)
    assert signed(tpm, key, sign_params(0x0B, 0x14), b"right")[:2] == b"\0\x14"


def test_sign_by_an_hmac_session_with_a_hidden_digest() -> None:
    tpm, _, _ = started()
    areas = rsa_areas(SIGN | USER, auth=b"secret")
    key = put_in(tpm, areas)
    name = b"\0\x0b" + hashlib.sha256(areas[0]).digest()
    client = start(tpm)
    client.entity_auth = b"secret"
    body = send(tpm, 0x15D, sign_params(0x0B, 0x14), {key: name}, client)
    assert body[:6] == bytes.fromhex("0014000b0100")


def test_signing_changes_nothing_that_lasts() -> None:
    tpm, _, _ = started()
    key = put_in(tpm, hmac_areas(SIGN | USER | NO_DA))
    before = whole_state(tpm)
    answer = tpm.execute(
        command(0x15D, sign_params(0x0B, 5), handles=(key,), area=EMPTY_PASSWORD)
    )
    assert rc_of(answer) == 0
    assert whole_state(tpm) == before
