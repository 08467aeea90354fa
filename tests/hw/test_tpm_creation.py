"""Create, CreatePrimary, CreateLoaded: keys that follow from seeds and templates."""

import hashlib
import hmac
import time
from functools import partial

import pytest

from tpm_kit import NULL, power_cycle, session, started, vector
from tpm_objects import (
    DECRYPT,
    ECDSA_SHA256,
    ENCRYPTED,
    ENDORSEMENT,
    FIXED,
    FIXED_TPM,
    HMAC_SHA256,
    NO_SYM,
    ORIGIN,
    OWNER,
    PLATFORM,
    RESTRICTED,
    RSASSA_SHA256,
    SIGN,
    ST_CLEAR,
    STORAGE,
    USER,
    XOR_SHA256_108,
    Answer,
    cipher,
    create,
    create_loaded,
    create_primary,
    ecc,
    flush,
    keyed_hash,
    load,
    loaded_at,
    made,
    refused,
    rsa,
    send,
    two_b,
)

STARTUP = bytes.fromhex("80010000000c000001440000")
DERIVING = keyed_hash(STORAGE | FIXED, XOR_SHA256_108)
EK_RSA = bytes.fromhex(
    "0001 000b 000300b2 0020"
    "837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa"
    "0006 0080 0043 0010 0800 00000000 0100"
) + bytes(256)
EK_ECC = (
    bytes.fromhex(
        "0023 000b 000300b2 0020"
        "837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa"
        "0006 0080 0043 0010 0003 0010"
    )
    + two_b(bytes(32)) * 2
)
SRK_RSA = rsa(bits=2048, unique=two_b(bytes(256)))
SRK_ECC = ecc(unique=two_b(bytes(32)) * 2)
PEF_STORAGE = rsa(0x00030432, bits=2048, policy=bytes(range(32)))


def public_of(answer: Answer) -> bytes:
    """outPublic of CreatePrimary."""
    assert answer.rc == 0, hex(answer.rc)
    return answer.sized(1)[0]


@pytest.mark.parametrize(
    ("template", "unique_size", "hierarchy"),
    [
        (EK_RSA, 258, ENDORSEMENT),
        (EK_ECC, 68, ENDORSEMENT),
        (SRK_RSA, 258, OWNER),
        (SRK_ECC, 68, OWNER),
        (PEF_STORAGE, 2, PLATFORM),
    ],
)
def test_the_templates_of_the_profiles(
    template: bytes, unique_size: int, hierarchy: int
) -> None:
    tpm, _, _ = started()
    answer = create_primary(tpm, template, hierarchy)
    public = public_of(answer)
    assert public.startswith(template[:-unique_size])
    assert len(public) - len(template) == (256 if unique_size == 2 else 0)
    ticket_and_name = answer.sized(3)[3]
    name = b"\0\x0b" + hashlib.sha256(public).digest()
    assert ticket_and_name[-36:] == two_b(name)


def test_creation_data_as_the_reference_gives_them() -> None:
    wanted = vector("formulas.json")["create_primary"]
    tpm, _, _ = started()
    template = bytes.fromhex(wanted["template"])
    params = two_b(bytes(4)) + two_b(template) + two_b() + bytes(4)
    answer = send(tpm, 0x131, params, OWNER, gives_handle=True)
    public, data, hashed, rest = answer.sized(3)
    assert data.hex() == wanted["creationData"]
    assert hashed.hex() == wanted["creationHash"]
    assert len(public) == len(bytes.fromhex(wanted["public"]))
    assert public[:26] == bytes.fromhex(wanted["public"])[:26]
    assert rest[:6] == bytes.fromhex("8021 40000001")


def test_creation_data_of_a_child_name_its_parent_and_the_pcrs() -> None:
    tpm, _, _ = started(banks=(0xB,))
    parent = create_primary(tpm)
    qualified = send(tpm, 0x173, b"", parent.handle, auths=0).sized(3)
    params = two_b(two_b() + two_b(b"secret")) + two_b(keyed_hash()) + two_b(b"me")
    params += bytes.fromhex("00000001 000b 03 410000")
    data = send(tpm, 0x153, params, parent.handle).sized(3)[2]
    digest = hashlib.sha256(bytes(64)).digest()
    wanted = bytes.fromhex("00000001 000b 03 410000") + two_b(digest) + b"\x01\x00\x0b"
    assert data == wanted + two_b(qualified[1]) + two_b(qualified[2]) + two_b(b"me")


def test_the_same_template_is_the_same_key_after_power_was_off() -> None:
    tpm, _, _ = started()
    first = public_of(create_primary(tpm))
    power_cycle(tpm)
    assert tpm.execute(STARTUP)[6:10] == bytes(4)
    assert public_of(create_primary(tpm)) == first


@pytest.mark.parametrize("template", [rsa(), ecc(), cipher(), DERIVING])
def test_what_a_primary_key_depends_on(template: bytes) -> None:
    tpm, _, _ = started(transient_slots=8)
    first = public_of(create_primary(tpm, template))
    assert public_of(create_primary(tpm, template, auth=b"x")) == first
    assert public_of(create_primary(tpm, template, data=b"x")) != first
    assert public_of(create_primary(tpm, template, ENDORSEMENT)) != first
    assert public_of(create_primary(started("b")[0], template)) != first


def test_unique_of_the_template_counts() -> None:
    tpm, _, _ = started()
    one, other = rsa(unique=two_b(b"a")), rsa(unique=two_b(b"b"))
    assert public_of(create_primary(tpm, one)) != public_of(create_primary(tpm, other))


def test_a_repeated_primary_key_is_there_at_once() -> None:
    tpm, _, _ = started(transient_slots=64)
    create_primary(tpm, SRK_RSA)
    times = []
    for _ in range(10):
        begin = time.perf_counter()
        assert create_primary(tpm, SRK_RSA).rc == 0
        times.append(time.perf_counter() - begin)
    assert min(times) < 0.002


def test_primary_keys_that_are_made_anew_are_those_that_are_remembered() -> None:
    tpm, _, _ = started()
    first = public_of(create_primary(tpm))
    tpm._inner.keys._primaries.clear()
    assert public_of(create_primary(tpm)) == first


def test_no_two_created_keys_are_the_same() -> None:
    tpm, _, _ = started()
    parent = create_primary(tpm).handle
    one, other = (create(tpm, parent, ecc()).sized(2)[1] for _ in range(2))
    assert one != other


def test_unique_of_symmetric_objects() -> None:
    """H(seedValue || secret); of a parent HMAC(seedValue, secret) [M]."""
    tpm, _, _ = started()
    for template in (cipher(), cipher(STORAGE | FIXED), DERIVING):
        handle = create_primary(tpm, template).handle
        loaded = loaded_at(tpm, handle)
        assert loaded.sensitive is not None
        seed, secret = loaded.sensitive.seed_value, loaded.sensitive.sensitive
        plain = hashlib.sha256(seed + secret).digest()
        keyed = hmac.digest(seed, secret, "sha256")
        wanted = plain if template == cipher() else keyed
        assert loaded.public.unique == wanted
        flush(tpm, handle)


BAD_TEMPLATES = [
    (rsa(STORAGE | FIXED, NO_SYM), 0x2D6),
    (rsa(STORAGE | FIXED, scheme=RSASSA_SHA256), 0x2D2),
    (rsa(STORAGE | FIXED_TPM), 0x2C2),
    (rsa(STORAGE | FIXED | ENCRYPTED), 0x2C2),
    (rsa((STORAGE | FIXED) & ~ORIGIN), 0x2C2),
    (rsa(STORAGE | FIXED | SIGN), 0x2C2),
    (rsa(FIXED | ORIGIN | USER), 0x2C2),
    (rsa(FIXED | ORIGIN | SIGN), 0x2D6),
    (rsa(FIXED | ORIGIN | SIGN | RESTRICTED, NO_SYM), 0x2D2),
    (rsa(FIXED | ORIGIN | DECRYPT, NO_SYM, RSASSA_SHA256), 0x2D2),
    (rsa(exponent=3), 0x08D),
    (rsa(exponent=65541), 0x08D),
    (rsa(policy=bytes(20)), 0x2D5),
    (rsa(policy=bytes(31)), 0x2D5),
    (rsa(name_alg=0x10), 0x2C3),
    (ecc(kdf=bytes.fromhex("0020000b")), 0x2CC),
    (ecc(FIXED | ORIGIN | DECRYPT, NO_SYM, ECDSA_SHA256), 0x2D2),
    (keyed_hash(FIXED | ORIGIN | USER), 0x2C2),
    (keyed_hash(FIXED | USER), 0x2C2),
    (keyed_hash(FIXED | ORIGIN | SIGN), 0x2D2),
    (keyed_hash(FIXED | ORIGIN | DECRYPT, HMAC_SHA256), 0x2D2),
    (keyed_hash(STORAGE | FIXED, bytes.fromhex("000a000b0010")), 0x2D2),
    (cipher(STORAGE | FIXED | SIGN), 0x2C2),
]


@pytest.mark.parametrize(("template", "rc"), BAD_TEMPLATES)
def test_templates_that_are_refused(template: bytes, rc: int) -> None:
    """Each as swtpm refuses it."""
    tpm, _, _ = started()
    assert refused(tpm, lambda: create_primary(tpm, template)) == rc
    assert refused(tpm, lambda: create_loaded(tpm, OWNER, template)) == rc


@pytest.mark.parametrize(
    ("template", "auth", "data", "rc"),
    [
        (rsa(), b"a" * 33, b"", 0x1D5),
        (cipher(FIXED | USER | DECRYPT), b"", b"k" * 15, 0x087),
        (keyed_hash(FIXED | SIGN, HMAC_SHA256), b"", b"k" * 65, 0x095),
        (cipher(STORAGE & ~ORIGIN | FIXED), b"", b"k" * 16, 0x2C2),
        (keyed_hash(STORAGE & ~ORIGIN | FIXED, XOR_SHA256_108), b"", b"k", 0x2C2),
    ],
)
def test_secrets_that_are_refused(
    template: bytes, auth: bytes, data: bytes, rc: int
) -> None:
    tpm, _, _ = started()
    with_secret = partial(create_primary, tpm, template, auth=auth, data=data)
    assert refused(tpm, with_secret) == rc


@pytest.mark.parametrize(
    ("parent", "child", "rc"),
    [
        (rsa(), rsa(STORAGE | FIXED, bytes.fromhex("0006 0100 0043")), 0x2D6),
        (rsa(), rsa(STORAGE | FIXED, name_alg=0xC), 0x2C3),
        (rsa(STORAGE), rsa(STORAGE | FIXED), 0x2C2),
        (rsa(STORAGE), keyed_hash(ENCRYPTED | USER), 0x2C2),
        (rsa(STORAGE | ENCRYPTED), keyed_hash(USER), 0x2C2),
        (rsa(STORAGE), rsa(STORAGE, name_alg=0xC), 0),
        (DERIVING, keyed_hash(), 0x18A),
        (rsa(FIXED | ORIGIN | SIGN | USER, NO_SYM), keyed_hash(), 0x18A),
    ],
)
def test_children_that_do_not_fit_their_parent(
    parent: bytes, child: bytes, rc: int
) -> None:
    tpm, _, _ = started()
    handle = create_primary(tpm, parent).handle
    data = b"" if child[:2] == b"\0\x01" else b"data"
    assert create(tpm, handle, child, data=data).rc == rc


def test_data_with_sensitive_data_origin() -> None:
    tpm, _, _ = started()
    parent = create_primary(tpm).handle
    assert create(tpm, parent, rsa(), data=b"x").rc == 0x2C2
    assert create_primary(tpm, rsa(), data=b"x").rc == 0  # there it is more entropy


def test_a_full_tpm_makes_nothing() -> None:
    tpm, _, _ = started()
    parent, *_ = (create_primary(tpm).handle for _ in range(3))
    assert refused(tpm, lambda: create_primary(tpm)) == 0x902
    assert refused(tpm, lambda: create(tpm, parent, rsa())) == 0x902
    assert refused(tpm, lambda: create_loaded(tpm, parent, rsa())) == 0x902


def test_create_loaded_makes_what_create_primary_makes() -> None:
    tpm, _, _ = started()
    primary = create_primary(tpm)
    private, public, name, _ = create_loaded(tpm, OWNER, rsa()).sized(3)
    assert (private, public) == (b"", public_of(primary))
    assert name == b"\0\x0b" + hashlib.sha256(public).digest()


def test_create_loaded_child_can_be_loaded_again() -> None:
    tpm, _, _ = started()
    parent = create_primary(tpm).handle
    loaded = create_loaded(tpm, parent, keyed_hash(), data=b"data")
    private, public, _ = loaded.sized(2)
    again = load(tpm, parent, private, public)
    for handle in (loaded.handle, again.handle):
        assert send(tpm, 0x15E, b"", handle).sized(1)[0] == b"data"


DERIVED = FIXED | USER | SIGN


def derived(label: bytes = b"label", context: bytes = b"context") -> bytes:
    """A template below a derivation parent."""
    return ecc(DERIVED, NO_SYM, ECDSA_SHA256, unique=two_b(label) + two_b(context))


def test_derived_keys_follow_from_parent_label_and_context() -> None:
    tpm, _, _ = started(transient_slots=16)
    parent = create_primary(tpm, DERIVING).handle
    other = create_primary(tpm, DERIVING, ENDORSEMENT).handle
    first = create_loaded(tpm, parent, derived()).sized(2)
    assert first[0] == b""
    assert create_loaded(tpm, parent, derived()).sized(2)[1] == first[1]
    for handle, template in (
        (parent, derived(b"x")),
        (parent, derived(context=b"x")),
        (parent, derived(b"labelc", b"ontext")),
        (other, derived()),
    ):
        assert create_loaded(tpm, handle, template).sized(2)[1] != first[1]
    given = two_b(b"label") + two_b(b"context")
    by_data = create_loaded(tpm, parent, derived(b"", b""), data=given)
    assert by_data.sized(2)[1] == first[1]


@pytest.mark.parametrize(
    ("template", "data", "rc"),
    [
        (rsa(DERIVED, NO_SYM, unique=bytes(4)), b"", 0x2CA),
        (ecc(DERIVED | ORIGIN, NO_SYM, unique=bytes(4)), b"", 0x082),
        (ecc(USER | SIGN, NO_SYM, unique=bytes(4)), b"", 0x2C2),
        (derived(), two_b(b"x" * 33) + two_b(), 0x095),
        (derived()[:-1], b"", 0x2DA),
        (derived() + b"\0", b"", 0x2D5),
    ],
)
def test_derived_keys_that_are_refused(template: bytes, data: bytes, rc: int) -> None:
    tpm, _, _ = started()
    parent = create_primary(tpm, DERIVING).handle
    assert refused(tpm, partial(create_loaded, tpm, parent, template, data=data)) == rc


def test_a_child_of_an_st_clear_parent_does_not_outlive_it() -> None:
    tpm, _, _ = started()
    parent = create_primary(tpm, rsa(STORAGE | FIXED | ST_CLEAR)).handle
    child = made(tpm, parent, keyed_hash(), data=b"d")
    persist = send(tpm, 0x120, bytes.fromhex("81000000"), OWNER, child)
    assert persist.rc == 0x282


def test_the_authorization_of_the_parent_is_asked_for() -> None:
    tpm, _, _ = started()
    parent = create_primary(tpm, auth=b"pw").handle
    assert create(tpm, parent, keyed_hash(), data=b"d").rc == 0x9A2
    assert create(tpm, parent, keyed_hash(), data=b"d", parent_auth=b"pw").rc == 0
    params = two_b(bytes(4)) + two_b(rsa()) + bytes(6)
    assert send(tpm, 0x131, params, OWNER, area=session(auth=b"x")).rc == 0x9A2
    assert send(tpm, 0x131, params, NULL, area=session(auth=b"x")).rc == 0x9A2


def test_keyed_hash_keys_are_as_long_as_their_hash() -> None:
    tpm, _, _ = started()
    template = keyed_hash(FIXED | ORIGIN | SIGN, bytes.fromhex("0005 000c"))
    handle = create_primary(tpm, template).handle
    loaded = loaded_at(tpm, handle)
    assert loaded.sensitive is not None
    assert len(loaded.sensitive.sensitive) == 48
