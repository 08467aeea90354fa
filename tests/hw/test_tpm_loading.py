"""Load, LoadExternal, ReadPublic, Unseal, ObjectChangeAuth; tickets."""

import hashlib
from functools import partial

import pytest

from pefstack.hw.entropy import Entropy
from pefstack.hw.tpm.codes import TpmSt
from pefstack.hw.tpm.crypto import ecc as ecc_keys
from pefstack.hw.tpm.crypto import rsa as rsa_keys
from pefstack.hw.tpm.objects import Sequence
from pefstack.hw.tpm.ticket import Ticket
from pefstack.hw.tpm.tickets import check, make
from tpm_kit import NULL, session, started
from tpm_objects import (
    ADMIN,
    DECRYPT,
    ECC,
    FIXED,
    KEYEDHASH,
    NO_DA,
    NO_SYM,
    OWNER,
    PLATFORM,
    RESTRICTED,
    RSA,
    SIGN,
    STORAGE,
    SYMCIPHER,
    USER,
    cipher,
    create,
    create_primary,
    ecc,
    flush,
    keyed_hash,
    load,
    load_external,
    made,
    name_of,
    refused,
    rsa,
    send,
    sensitive,
    two_b,
)

RSA_KEY = rsa_keys.generate(Entropy("loading", "rsa"), 1024)
N, P = RSA_KEY.n.to_bytes(128, "big"), RSA_KEY.p.to_bytes(64, "big")
ECC_KEY = ecc_keys.generate(Entropy("loading", "ecc"), 3)
X, Y, D = (each.to_bytes(32, "big") for each in (ECC_KEY.x, ECC_KEY.y, ECC_KEY.d))
SEED = bytes(32)
BOTH = SIGN | DECRYPT | USER


def unique(secret: bytes, seed: bytes = SEED) -> bytes:
    """H(seedValue || secret)."""
    return two_b(hashlib.sha256(seed + secret).digest())


def rsa_public(n: bytes = N, exponent: int = 0, attributes: int = BOTH) -> bytes:
    return rsa(attributes, NO_SYM, exponent=exponent, unique=two_b(n))


def ecc_public(x: bytes = X, y: bytes = Y) -> bytes:
    return ecc(BOTH, NO_SYM, unique=two_b(x) + two_b(y))


def test_a_created_object_is_loaded_by_its_name() -> None:
    tpm, _, _ = started()
    parent = create_primary(tpm)
    private, public, _ = create(tpm, parent.handle, keyed_hash(), data=b"d").sized(2)
    loaded = load(tpm, parent.handle, private, public)
    assert loaded.sized(1)[0] == name_of(public)
    answer = send(tpm, 0x173, b"", loaded.handle, auths=0)
    above = hashlib.sha256(OWNER.to_bytes(4, "big") + name_of(parent.sized(1)[0]))
    qualified = hashlib.sha256(b"\0\x0b" + above.digest() + name_of(public))
    assert answer.sized(3)[:2] == [public, name_of(public)]
    assert answer.sized(3)[2] == b"\0\x0b" + qualified.digest()


@pytest.mark.parametrize("place", [0, 1, 2, 20, 34, 36, 50, 52, 60, -1])
def test_every_byte_of_a_private_area_counts(place: int) -> None:
    tpm, _, _ = started()
    parent = create_primary(tpm).handle
    private, public, _ = create(tpm, parent, keyed_hash(), data=b"d").sized(2)
    raw = bytearray(private)
    raw[place] ^= 1
    rc = refused(tpm, partial(load, tpm, parent, bytes(raw), public))
    assert rc in (0x1DF, 0x1D5, 0x1DA)
    assert rc == 0x1DF or place < 2


def test_a_private_area_is_for_one_parent_and_one_public_area() -> None:
    tpm, _, _ = started()
    parent = create_primary(tpm).handle
    other = create_primary(tpm, hierarchy=PLATFORM).handle
    private, public, _ = create(tpm, parent, keyed_hash(), data=b"d").sized(2)
    assert refused(tpm, lambda: load(tpm, other, private, public)) == 0x1DF
    changed = public[:7] + bytes((public[7] ^ 0x40,)) + public[8:]
    assert refused(tpm, lambda: load(tpm, parent, private, changed)) == 0x1DF
    assert refused(tpm, lambda: load(tpm, parent, b"", public)) == 0x1D5
    assert refused(tpm, lambda: load(tpm, parent, private[:20], public)) == 0x1DA


def test_load_wants_a_parent() -> None:
    tpm, _, _ = started()
    sealed = made(tpm, create_primary(tpm).handle, keyed_hash(), data=b"d")
    assert refused(tpm, lambda: load(tpm, sealed, b"x", keyed_hash())) == 0x18A


GOOD = [
    (rsa_public(), sensitive(RSA, P)),
    (rsa_public(exponent=65537), sensitive(RSA, P, auth=b"a" * 32)),
    (ecc_public(), sensitive(ECC, D)),
    (
        keyed_hash(BOTH, unique=unique(b"key")),
        sensitive(KEYEDHASH, b"key", seed=SEED),
    ),
    (
        cipher(BOTH, unique=unique(b"k" * 16)),
        sensitive(SYMCIPHER, b"k" * 16, seed=SEED),
    ),
    (rsa_public(), b""),
    (ecc_public(), b""),
    (rsa(BOTH, NO_SYM, name_alg=0x10, unique=two_b(N)), sensitive(RSA, P)),
]


@pytest.mark.parametrize(("public", "secret"), GOOD)
def test_external_objects(public: bytes, secret: bytes) -> None:
    tpm, _, _ = started()
    answer = load_external(tpm, public, secret)
    assert answer.rc == 0, hex(answer.rc)
    nameless = public[2:4] == b"\0\x10"
    assert answer.sized(1)[0] == (b"" if nameless else name_of(public))


@pytest.mark.parametrize(
    ("public", "secret", "rc"),
    [
        (rsa_public(N[:-1]), b"", 0x2DC),
        (rsa_public(b"\x7f" + N[1:]), b"", 0x2DC),
        (rsa_public(exponent=3), b"", 0x2C4),
        (rsa_public(), sensitive(RSA, P[:-1]), 0x1C7),
        (rsa_public(), sensitive(RSA, b"\x7f" + P[1:]), 0x1C7),
        (rsa_public(), sensitive(RSA, P[:-1] + bytes((P[-1] ^ 2,))), 0x0A5),
        (rsa_public(), sensitive(ECC, D), 0x1CA),
        (rsa_public(), sensitive(RSA, P, auth=b"a" * 33), 0x1D5),
        (rsa_public(), sensitive(RSA, P, seed=bytes(33)), 0x1C7),
        (rsa_public(attributes=BOTH | FIXED), sensitive(RSA, P), 0x2C2),
        (rsa_public(attributes=RESTRICTED | SIGN), sensitive(RSA, P), 0x2C2),
        (ecc_public(X[:-1]), b"", 0x2DC),
        (ecc_public(X, X), b"", 0x2E7),
        (ecc_public(), sensitive(ECC, bytes(32)), 0x087),
        (ecc_public(), sensitive(ECC, b"\xff" * 32), 0x087),
        (ecc_public(), sensitive(ECC, D[:-1] + bytes((D[-1] ^ 1,))), 0x0A5),
        (keyed_hash(BOTH), b"", 0x2DC),
        (
            keyed_hash(BOTH, unique=unique(b"x")),
            sensitive(KEYEDHASH, b"k", seed=SEED),
            0x0A5,
        ),
        (
            keyed_hash(BOTH, unique=unique(b"k", b"")),
            sensitive(KEYEDHASH, b"k"),
            0x1C7,
        ),
        (
            cipher(BOTH, unique=unique(b"k" * 15)),
            sensitive(SYMCIPHER, b"k" * 15, seed=SEED),
            0x1C7,
        ),
        (rsa(BOTH), b"", 0x2D6),
    ],
)
def test_external_objects_that_are_refused(
    public: bytes, secret: bytes, rc: int
) -> None:
    """Parts that do not belong together; codes as swtpm's."""
    tpm, _, _ = started()
    assert refused(tpm, partial(load_external, tpm, public, secret)) == rc


def test_external_secrets_only_in_the_null_hierarchy() -> None:
    tpm, _, _ = started()
    public, secret = GOOD[0]
    assert refused(tpm, partial(load_external, tpm, public, secret, OWNER)) == 0x3C5
    assert load_external(tpm, public, b"", OWNER).rc == 0


def test_unseal_is_for_data() -> None:
    tpm, _, _ = started(transient_slots=8)
    parent = create_primary(tpm).handle
    signer = made(tpm, parent, keyed_hash(FIXED | NO_DA | 0x20 | BOTH))
    assert refused(tpm, lambda: send(tpm, 0x15E, b"", signer)) == 0x182
    assert refused(tpm, lambda: send(tpm, 0x15E, b"", parent)) == 0x18A
    sealed = made(tpm, parent, keyed_hash(), data=bytes(range(128)), auth=b"pw")
    wrong = partial(send, tpm, 0x15E, b"", sealed, area=session(auth=b"x"))
    assert refused(tpm, wrong) == 0x9A2
    right = send(tpm, 0x15E, b"", sealed, area=session(auth=b"pw\0"))
    assert right.sized(1)[0] == bytes(range(128))


def test_no_password_opens_an_object_without_user_with_auth() -> None:
    tpm, _, _ = started()
    parent = create_primary(tpm).handle
    sealed = made(tpm, parent, keyed_hash(FIXED | NO_DA), data=b"d")
    assert refused(tpm, lambda: send(tpm, 0x15E, b"", sealed)) == 0x12F


def test_another_password() -> None:
    tpm, _, _ = started()
    parent = create_primary(tpm).handle
    private, public, _ = create(tpm, parent, keyed_hash(), data=b"d").sized(2)
    old = load(tpm, parent, private, public).handle
    answer = send(tpm, 0x150, two_b(b"new\0\0"), old, parent)
    new = load(tpm, parent, answer.sized(1)[0], public).handle
    assert send(tpm, 0x15E, b"", old).rc == 0
    assert send(tpm, 0x15E, b"", new).rc == 0x9A2
    assert send(tpm, 0x15E, b"", new, area=session(auth=b"new")).rc == 0


def test_password_changes_that_are_refused() -> None:
    tpm, _, _ = started(transient_slots=8)
    parent = create_primary(tpm).handle
    other = create_primary(tpm, hierarchy=PLATFORM).handle
    sealed = made(tpm, parent, keyed_hash(), data=b"d")
    strict = made(tpm, parent, keyed_hash(FIXED | USER | ADMIN | NO_DA), data=b"d")
    nameless = load_external(
        tpm, keyed_hash(BOTH | NO_DA, name_alg=0x10), SECRETS
    ).handle
    for params, handles, rc in (
        (two_b(b"n" * 33), (sealed, parent), 0x1D5),
        (two_b(b"n"), (sealed, other), 0x28A),
        (two_b(b"n"), (parent, parent), 0x28A),
        (two_b(b"n"), (nameless, parent), 0x28A),
        (two_b(b"n"), (strict, parent), 0x124),
    ):
        assert refused(tpm, partial(send, tpm, 0x150, params, *handles)) == rc


SECRETS = sensitive(KEYEDHASH, b"key")


def test_a_sequence_is_no_object() -> None:
    tpm, _, _ = started()
    sequence = Sequence(auth_value=b"", hashes={}, kind="hash")
    handle = tpm._inner.state.objects.load(sequence)
    parent = create_primary(tpm).handle
    assert refused(tpm, lambda: send(tpm, 0x173, b"", handle, auths=0)) == 0x103
    assert refused(tpm, lambda: send(tpm, 0x15E, b"", handle)) == 0x18A
    assert refused(tpm, lambda: send(tpm, 0x150, two_b(), handle, parent)) == 0x18A
    assert refused(tpm, lambda: send(tpm, 0x168, bytes(4), handle, auths=0)) == 0x18A
    assert refused(tpm, lambda: create(tpm, handle, keyed_hash(), data=b"d")) == 0x18A


TAGS = (
    TpmSt.CREATION,
    TpmSt.VERIFIED,
    TpmSt.AUTH_SECRET,
    TpmSt.HASHCHECK,
    TpmSt.AUTH_SIGNED,
)


@pytest.mark.parametrize("tag", TAGS)
def test_a_ticket_is_good_for_what_it_was_made_of(tag: int) -> None:
    tpm, _, _ = started()
    inner = tpm._inner
    ticket = make(inner, tag, OWNER, b"name", b"hash")
    assert check(inner, ticket, b"name", b"hash")
    assert not check(inner, ticket, b"name", b"hasH")
    assert not check(inner, ticket, b"nameh", b"ash")
    for other in TAGS:
        changed = Ticket(tag=other, hierarchy=OWNER, digest=ticket.digest)
        assert check(inner, changed, b"name", b"hash") is (other == tag)
    for hierarchy in (PLATFORM, NULL, 0x4000000B):
        changed = Ticket(tag=tag, hierarchy=hierarchy, digest=ticket.digest)
        assert not check(inner, changed, b"name", b"hash")
    assert not check(inner, Ticket(tag=tag, hierarchy=OWNER), b"name", b"hash")
    assert not check(started("other")[0]._inner, ticket, b"name", b"hash")


def test_clear_ends_the_tickets_of_owner_and_endorsement() -> None:
    tpm, _, _ = started()
    inner = tpm._inner
    tickets = [make(inner, TpmSt.VERIFIED, h, b"x") for h in (OWNER, 0x4000000B)]
    lasting = make(inner, TpmSt.VERIFIED, PLATFORM, b"x")
    assert send(tpm, 0x126, b"", PLATFORM).rc == 0
    assert [check(inner, ticket, b"x") for ticket in tickets] == [False, False]
    assert check(inner, lasting, b"x")


def test_storage_attributes_are_those_of_a_parent() -> None:
    """A derivation parent or a public area alone is none."""
    tpm, _, _ = started(transient_slots=8)
    public = create_primary(tpm, rsa(STORAGE)).sized(1)[0]
    alone = load_external(tpm, public, hierarchy=OWNER).handle
    assert refused(tpm, lambda: load(tpm, alone, b"x", keyed_hash())) == 0x12F


def test_a_child_of_a_persistent_key_is_in_the_next_slot() -> None:
    """As in the reference, where a persistent key is in a slot while it is used."""
    tpm, _, _ = started()
    parent = create_primary(tpm).handle
    evict = (0x81000001).to_bytes(4, "big")
    assert send(tpm, 0x120, evict, OWNER, parent).rc == 0
    assert flush(tpm, parent) == 0
    private, public, _ = create(tpm, 0x81000001, keyed_hash(), data=b"x").sized(2)
    found = [load(tpm, 0x81000001, private, public).handle for _ in range(2)]
    assert found == [0x80000001, 0x80000002]
    assert load(tpm, 0x81000001, private, public).rc == 0x902  # the key needs a slot
