"""Import, Duplicate, Rewrap, and credentials: secrets on the way between TPMs."""

import hashlib
from dataclasses import replace
from functools import partial

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

from pefstack.hw.tpm.engine import Tpm
from tpm_kit import EMPTY_PASSWORD, NULL, session, started, vector
from tpm_objects import (
    AES_128_CFB,
    ENCRYPTED,
    FIXED,
    FIXED_PARENT,
    KEYEDHASH,
    NO_DA,
    NO_SYM,
    OWNER,
    PLATFORM,
    STORAGE,
    USER,
    Answer,
    cipher,
    create_primary,
    ecc,
    flush,
    keyed_hash,
    load,
    load_external,
    loaded_at,
    made,
    name_of,
    policy_session,
    refused,
    rsa,
    send,
    sensitive,
    two_b,
)

VECTORS = vector("formulas.json")["protection"]
DUPLICATE_POLICY = hashlib.sha256(
    bytes(32) + (0x16C).to_bytes(4, "big") + (0x14B).to_bytes(4, "big")
).digest()


def hidden(tpm: Tpm, parent: int, seed: bytes, label: bytes = b"DUPLICATE\0") -> bytes:
    """The seed under the parent's public key, by another library."""
    public = send(tpm, 0x173, b"", parent, auths=0).sized(1)[0]
    n = int.from_bytes(public[-128:], "big")
    sha256 = hashes.SHA256()
    scheme = padding.OAEP(padding.MGF1(sha256), sha256, label)
    return RSAPublicNumbers(65537, n).public_key().encrypt(seed, scheme)


def import_(
    tpm: Tpm,
    parent: int,
    public: bytes,
    duplicate: bytes,
    seed: bytes = b"",
    *,
    key: bytes = b"",
) -> Answer:
    """Import; ``seed`` is encrypted already."""
    params = two_b(key) + two_b(public) + two_b(duplicate) + two_b(seed)
    params += AES_128_CFB if key else NO_SYM
    return send(tpm, 0x156, params, parent)


def duplicate(
    tpm: Tpm, handle: int, parent: int, key: bytes = b"", symmetric: bytes = NO_SYM
) -> Answer:
    """Duplicate under PolicyCommandCode(Duplicate)."""
    policy, _ = policy_session(tpm, 0x14B)
    area = session(policy, b"\1" * 16)
    return send(tpm, 0x14B, two_b(key) + symmetric, handle, parent, area=area)


@pytest.mark.parametrize("row", ["import_outer_only", "import_inner_and_outer"])
@pytest.mark.parametrize("attributes", [STORAGE | FIXED, STORAGE])
def test_imports_of_the_reference(row: str, attributes: int) -> None:
    """The duplicate's bytes as they were given to a real TPM."""
    wanted = {name: bytes.fromhex(value) for name, value in VECTORS[row].items()}
    tpm, _, _ = started()
    parent = create_primary(tpm, rsa(attributes)).handle
    public, seed = wanted["public"], hidden(tpm, parent, wanted["seed"])
    key = wanted.get("innerKey", b"")
    answer = import_(tpm, parent, public, wanted["duplicate"], seed, key=key)
    assert answer.rc == 0, hex(answer.rc)
    loaded = load(tpm, parent, answer.sized(1)[0], public)
    assert loaded.sized(1)[0] == wanted["name"]
    area = session(auth=b"iauth")
    assert send(tpm, 0x15E, b"", loaded.handle, area=area).sized(1)[0] == (
        b"imported secret"
    )


@pytest.mark.parametrize("place", [0, 2, 20, 34, 60, -1])
def test_a_duplicate_that_was_changed(place: int) -> None:
    wanted = VECTORS["import_outer_only"]
    tpm, _, _ = started()
    parent = create_primary(tpm).handle
    raw = bytearray.fromhex(wanted["duplicate"])
    raw[place] ^= 1
    public = bytes.fromhex(wanted["public"])
    seed = hidden(tpm, parent, bytes.fromhex(wanted["seed"]))
    rc = refused(tpm, partial(import_, tpm, parent, public, bytes(raw), seed))
    assert rc == (0x3D5 if place == 0 else 0x3DF)


def test_a_duplicate_for_another_object() -> None:
    wanted = VECTORS["import_outer_only"]
    tpm, _, _ = started()
    parent = create_primary(tpm).handle
    public = bytearray.fromhex(wanted["public"])
    public[7] |= 4  # noDA
    seed = hidden(tpm, parent, bytes.fromhex(wanted["seed"]))
    blob = bytes.fromhex(wanted["duplicate"])
    assert refused(tpm, lambda: import_(tpm, parent, bytes(public), blob, seed)) == (
        0x3DF
    )


SECRET = sensitive(KEYEDHASH, b"data", seed=bytes(32))
UNIQUE = two_b(hashlib.sha256(bytes(32) + b"data").digest())
SEALED = keyed_hash(USER | NO_DA, unique=UNIQUE)


@pytest.mark.parametrize(
    ("public", "area", "seed", "key", "rc"),
    [
        (keyed_hash(USER | FIXED, unique=UNIQUE), SECRET, b"", b"", 0x2C2),
        (keyed_hash(USER | FIXED_PARENT, unique=UNIQUE), SECRET, b"", b"", 0x2C2),
        (SEALED, SECRET, b"", b"k" * 15, 0x1D5),
        (keyed_hash(ENCRYPTED, unique=UNIQUE), SECRET, b"", b"", 0x1C2),
        (keyed_hash(ENCRYPTED, unique=UNIQUE), SECRET, b"", b"k" * 16, 0x4C2),
        (SEALED, SECRET, b"s" * 10, b"", 0x4D5),
        (SEALED, SECRET, b"\1" * 128, b"", 0x4C4),
        (keyed_hash(USER, unique=two_b(bytes(32))), SECRET, b"", b"", 0x0A5),
        (SEALED, sensitive(1, b"data", seed=bytes(32)), b"", b"", 0x3CA),
        (SEALED, sensitive(KEYEDHASH, b"data"), b"", b"", 0x3C7),
        (SEALED, sensitive(KEYEDHASH, b"data", seed=bytes(33)), b"", b"", 0x3C7),
        (SEALED, SECRET[:-1], b"", b"", 0x3DA),
        (SEALED, SECRET + b"\0", b"", b"", 0x3D5),
    ],
)
def test_imports_that_are_refused(
    public: bytes, area: bytes, seed: bytes, key: bytes, rc: int
) -> None:
    tpm, _, _ = started()
    parent = create_primary(tpm).handle
    answer = partial(import_, tpm, parent, public, two_b(area), seed, key=key)
    assert refused(tpm, answer) == rc


def test_below_a_parent_that_can_move_the_parts_are_checked_at_load() -> None:
    tpm, _, _ = started()
    parent = create_primary(tpm, rsa(STORAGE)).handle
    public = keyed_hash(USER, unique=two_b(bytes(32)))
    private = import_(tpm, parent, public, two_b(SECRET)).sized(1)[0]
    assert load(tpm, parent, private, public).rc == 0x0A5


def movable(tpm: Tpm, parent: int, attributes: int = 0) -> int:
    """A sealed object that may be duplicated, loaded."""
    template = keyed_hash(USER | NO_DA | attributes, policy=DUPLICATE_POLICY)
    return made(tpm, parent, template, data=b"moved", auth=b"pw")


@pytest.mark.parametrize("key", [b"", b"k" * 16])
@pytest.mark.parametrize("template", [rsa(), ecc()])
@pytest.mark.parametrize("symmetric", [NO_SYM, AES_128_CFB])
def test_duplicated_here_imported_there(
    template: bytes, symmetric: bytes, key: bytes
) -> None:
    """Both wraps and both kinds of parent; the other TPM has the public key alone."""
    key = key if symmetric == AES_128_CFB else b""
    tpm, _, _ = started("here")
    other, _, _ = started("there")
    there = create_primary(other, template)
    parent = create_primary(tpm).handle
    handle = movable(tpm, parent)
    public = send(tpm, 0x173, b"", handle, auths=0).sized(1)[0]
    target = load_external(tpm, there.sized(1)[0], hierarchy=OWNER).handle
    moved = duplicate(tpm, handle, target, key, symmetric)
    assert moved.rc == 0, hex(moved.rc)
    own_key, blob, seed, _ = moved.sized(3)
    assert len(own_key) == (16 if symmetric == AES_128_CFB and not key else 0)
    assert b"moved" not in blob
    private = import_(other, there.handle, public, blob, seed, key=key or own_key)
    assert private.rc == 0, hex(private.rc)
    loaded = load(other, there.handle, private.sized(1)[0], public).handle
    area = session(auth=b"pw")
    assert send(other, 0x15E, b"", loaded, area=area).sized(1)[0] == b"moved"


def test_a_duplicate_without_any_wrap() -> None:
    tpm, _, _ = started()
    handle = movable(tpm, create_primary(tpm).handle)
    key, blob, seed, _ = duplicate(tpm, handle, NULL).sized(3)
    assert (key, seed) == (b"", b"")
    assert blob[2:].startswith(bytes.fromhex("0008 0020") + b"pw".ljust(32, b"\0"))
    assert blob.endswith(two_b(b"moved"))


@pytest.mark.parametrize(
    ("attributes", "to_null", "key", "symmetric", "rc"),
    [
        (FIXED, False, b"", NO_SYM, 0x182),
        (0, False, b"k" * 16, NO_SYM, 0x1D5),
        (0, False, b"k" * 15, AES_128_CFB, 0x1D5),
        (ENCRYPTED, False, b"", NO_SYM, 0x2D6),
        (ENCRYPTED, True, b"", AES_128_CFB, 0x285),
    ],
)
def test_duplicates_that_are_refused(
    attributes: int, to_null: bool, key: bytes, symmetric: bytes, rc: int
) -> None:
    """Order and codes as swtpm's."""
    tpm, _, _ = started()
    parent = create_primary(tpm).handle
    handle = movable(tpm, parent, attributes)
    policy, _ = policy_session(tpm, 0x14B)
    area = session(policy, b"\1" * 16)
    handles = handle, NULL if to_null else parent
    params = two_b(key) + symmetric
    assert refused(tpm, lambda: send(tpm, 0x14B, params, *handles, area=area)) == rc


def test_only_a_key_that_hides_secrets_is_a_new_parent() -> None:
    tpm, _, _ = started()
    handle = movable(tpm, create_primary(tpm).handle)
    for template in (cipher(STORAGE | FIXED), rsa(0x40072, NO_SYM)):
        target = create_primary(tpm, template)
        assert duplicate(tpm, handle, target.handle).rc == 0x28A
        send(tpm, 0x165, target.handle.to_bytes(4, "big"), auths=0)


def test_p14_the_storage_key_cannot_be_exported() -> None:
    """fixedTPM: not by its password, not by a policy that names Duplicate."""
    tpm, journal, _ = started()
    template = rsa(0x00030432 | USER, policy=DUPLICATE_POLICY)
    key = create_primary(tpm, template, PLATFORM).handle
    params = two_b() + NO_SYM
    by_password = partial(send, tpm, 0x14B, params, key, NULL, area=EMPTY_PASSWORD)
    assert refused(tpm, by_password) == 0x124
    policy, _ = policy_session(tpm, 0x14B)
    area = session(policy, b"\1" * 16)
    assert refused(tpm, lambda: send(tpm, 0x14B, params, key, NULL, area=area)) == (
        0x182
    )
    inside = loaded_at(tpm, key)
    assert inside.sensitive is not None
    prime = inside.sensitive.sensitive
    context = send(tpm, 0x162, b"", key, auths=0).parameters
    public = send(tpm, 0x173, b"", key, auths=0).parameters
    assert prime not in context + public
    assert prime.hex() not in str(list(journal)) + repr(inside) + repr(tpm)


def test_p56_a_password_copies_the_key_to_a_second_machine() -> None:
    """PolicyAuthValue with PolicyCommandCode(Duplicate): the password decides."""
    one, _, _ = started("one")
    two, _, _ = started("two")
    template = rsa(0x00030460, policy=DUPLICATE_POLICY)  # not fixed, userWithAuth
    home = create_primary(one, rsa(STORAGE | FIXED), PLATFORM).handle
    key = made(one, home, template, auth=b"pw")
    public = send(one, 0x173, b"", key, auths=0).sized(1)[0]
    away = create_primary(two, rsa(STORAGE | FIXED), PLATFORM)
    target = load_external(one, away.sized(1)[0], hierarchy=PLATFORM).handle
    wrong, _ = policy_session(one, 0x14B)
    area = password_policy(one, wrong, b"guess")
    params = two_b() + NO_SYM
    assert refused(one, lambda: send(one, 0x14B, params, key, target, area=area)) == (
        0x9A2
    )
    area = password_policy(one, wrong, b"pw")
    _, blob, seed, _ = send(one, 0x14B, params, key, target, area=area).sized(3)
    private = import_(two, away.handle, public, blob, seed).sized(1)[0]
    copy = load(two, away.handle, private, public).handle
    wanted = {n: bytes.fromhex(v) for n, v in VECTORS["import_outer_only"].items()}
    seed = hidden(one, key, wanted["seed"])  # one sealed object, for both machines
    for tpm, parent in ((one, key), (two, copy)):
        flush(tpm, away.handle if tpm is two else home)
        loaded = imported(tpm, parent, wanted["public"], wanted["duplicate"], seed)
        area = session(auth=b"iauth")
        opened = send(tpm, 0x15E, b"", loaded, area=area).sized(1)[0]
        assert opened == b"imported secret"


def imported(tpm: Tpm, parent: int, public: bytes, blob: bytes, seed: bytes) -> int:
    """Import and Load below a key with the password "pw"."""
    area = session(auth=b"pw")
    params = two_b() + two_b(public) + two_b(blob) + two_b(seed) + NO_SYM
    private = send(tpm, 0x156, params, parent, area=area).sized(1)[0]
    params = two_b(private) + two_b(public)
    return send(tpm, 0x157, params, parent, area=area, gives_handle=True).handle


def password_policy(tpm: Tpm, handle: int, password: bytes) -> bytes:
    """The area of a policy session that is to prove a password."""
    inside = tpm._inner.state.sessions.get(handle)
    assert inside is not None
    assert inside.policy is not None
    inside.policy.needs_password = True
    return session(handle, b"\1" * 16, auth=password)


@pytest.mark.parametrize("template", [rsa(), ecc()])
def test_rewrap_for_another_parent(template: bytes) -> None:
    tpm, _, _ = started(transient_slots=8)
    old = create_primary(tpm).handle
    new = create_primary(tpm, template, PLATFORM).handle
    handle = movable(tpm, old)
    public = send(tpm, 0x173, b"", handle, auths=0).sized(1)[0]
    _, blob, seed, _ = duplicate(tpm, handle, old).sized(3)
    params = two_b(blob) + two_b(name_of(public)) + two_b(seed)
    blob, seed, _ = send(tpm, 0x152, params, old, new).sized(2)
    private = import_(tpm, new, public, blob, seed).sized(1)[0]
    assert load(tpm, new, private, public).rc == 0
    naked, none, _ = send(tpm, 0x152, params, old, NULL).sized(2)
    assert none == b""
    assert naked.endswith(two_b(b"moved"))
    again = two_b(naked) + two_b(name_of(public)) + two_b()
    blob, seed, _ = send(tpm, 0x152, again, NULL, new).sized(2)
    assert import_(tpm, new, public, blob, seed).rc == 0


def test_rewraps_that_are_refused() -> None:
    tpm, _, _ = started()
    old = create_primary(tpm).handle
    symmetric = create_primary(tpm, cipher(STORAGE | FIXED)).handle
    blob, name, seed = two_b(b"x" * 60), two_b(bytes(34)), hidden(tpm, old, bytes(32))
    for params, handles, rc in (
        (blob + name + two_b(), (old, NULL), 0x18B),
        (blob + name + two_b(seed), (NULL, old), 0x18B),
        (blob + name + two_b(b"\1" * 128), (old, NULL), 0x3C4),
        (blob + name + two_b(seed), (old, NULL), 0x1D5),
        (two_b(bytes(60)) + name + two_b(seed), (old, NULL), 0x1DF),
        (blob + name + two_b(seed), (symmetric, NULL), 0x18A),
        (blob + name + two_b(), (NULL, symmetric), 0x28A),
    ):
        assert refused(tpm, partial(send, tpm, 0x152, params, *handles)) == rc


@pytest.mark.parametrize("template", [rsa(), ecc()])
def test_a_credential_is_for_one_key_and_one_name(template: bytes) -> None:
    tpm, _, _ = started()
    key = create_primary(tpm, template).handle
    named = create_primary(tpm, rsa(0x50072, NO_SYM, bytes.fromhex("0014000b")))
    name = name_of(named.sized(1)[0])
    params = two_b(b"the credential") + two_b(name)
    blob, secret, _ = send(tpm, 0x168, params, key, auths=0).sized(2)
    params = two_b(blob) + two_b(secret)
    answer = send(tpm, 0x147, params, named.handle, key, auths=2)
    assert answer.sized(1)[0] == b"the credential"
    assert refused(tpm, lambda: send(tpm, 0x147, params, key, key, auths=2)) == 0x1DF
    bad = two_b(bytes((*blob[:-1], blob[-1] ^ 1))) + two_b(secret)
    assert refused(tpm, lambda: send(tpm, 0x147, bad, named.handle, key, auths=2)) == (
        0x1DF
    )
    short = two_b(blob[:10]) + two_b(secret)
    assert send(tpm, 0x147, short, named.handle, key, auths=2).rc == 0x1DA


def test_a_public_area_alone_activates_nothing() -> None:
    """The credential of the reference, whose object only its own TPM has."""
    wanted = VECTORS["credential"]
    tpm, _, _ = started()
    public = bytes.fromhex(vector("formulas.json")["create_primary"]["public"])
    assert name_of(public).hex() == wanted["name"]
    key = create_primary(tpm).handle
    secret = hidden(tpm, key, bytes.fromhex(wanted["seed"]), b"IDENTITY\0")
    named = load_external(tpm, public, hierarchy=OWNER).handle
    params = two_b(bytes.fromhex(wanted["credentialBlob"])) + two_b(secret)
    assert send(tpm, 0x147, params, named, key, auths=2).rc == 0x12F


def test_the_credential_of_the_reference_is_read() -> None:
    """With an object that is given the reference's Name from inside."""
    wanted = {n: bytes.fromhex(v) for n, v in PARTS.items()}
    tpm, _, _ = started()
    key = create_primary(tpm).handle
    named = create_primary(tpm).handle
    slots = tpm._inner.state.objects.transient
    slots[named] = replace(loaded_at(tpm, named), name=wanted["name"])
    secret = hidden(tpm, key, wanted["seed"], b"IDENTITY\0")
    params = two_b(wanted["credentialBlob"]) + two_b(secret)
    answer = send(tpm, 0x147, params, named, key, auths=2)
    assert answer.sized(1)[0] == wanted["credential"]


PARTS = {n: v for n, v in VECTORS["credential"].items() if n != "tampered_rc"}


def test_credentials_that_are_refused() -> None:
    tpm, _, _ = started()
    key = create_primary(tpm).handle
    other = create_primary(tpm, cipher()).handle
    params = two_b(b"c") + two_b()
    assert refused(tpm, lambda: send(tpm, 0x168, params, other, auths=0)) == 0x18A
    long = two_b(b"c" * 33) + two_b()
    assert refused(tpm, lambda: send(tpm, 0x168, long, key, auths=0)) == 0x1D5
    area = two_b(b"blob") + two_b(b"secret")
    assert refused(tpm, lambda: send(tpm, 0x147, area, key, other, auths=2)) == 0x28A
    assert refused(tpm, lambda: send(tpm, 0x147, area, key, key, auths=2)) == 0x2D5


def test_activation_is_for_the_role_admin() -> None:
    """adminWithPolicy: the password of the object is not enough."""
    tpm, _, _ = started()
    key = create_primary(tpm).handle
    named = create_primary(tpm, rsa(0x500F2, NO_SYM, bytes.fromhex("0014000b"))).handle
    area = two_b(b"blob") + two_b(b"secret")
    assert refused(tpm, lambda: send(tpm, 0x147, area, named, key, auths=2)) == 0x124
