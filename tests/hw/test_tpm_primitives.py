"""RSA, ECC, commits: round trips with other code, and what is refused."""

import hashlib

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric import rsa as rsa_package

from pefstack.hw.tpm.engine import Tpm
from tpm_client_kit import two_b
from tpm_key_kit import (
    CURVE,
    D_ECC,
    DECRYPT,
    NO_DA,
    RESTRICTED,
    SIGN,
    USER,
    N,
    P,
    ecc_areas,
    put_in,
    rsa_areas,
)
from tpm_kit import (
    EMPTY_PASSWORD,
    SHUTDOWN_STATE,
    STARTUP_CLEAR,
    STARTUP_STATE,
    clock_info,
    command,
    power_cycle,
    rc_of,
    refusal,
    started,
    vector,
    whole_state,
)

USES = DECRYPT | USER | NO_DA
OWNER = 0x40000001
Point = tuple[int, int]


def run(tpm: Tpm, code: int, params: bytes, key: int) -> bytes:
    """The results of an authorized command, or the whole refusal."""
    raw = command(code, params, handles=(key,), area=EMPTY_PASSWORD)
    answer = tpm.execute(raw)
    return answer if rc_of(answer) else answer[14:-5]


def rsa_private() -> rsa_package.RSAPrivateKey:
    q = N // P
    d = pow(65537, -1, (P - 1) * (q - 1))
    public = rsa_package.RSAPublicNumbers(65537, N)
    return rsa_package.RSAPrivateNumbers(
        P, q, d, d % (P - 1), d % (q - 1), pow(q, -1, P), public
    ).private_key()


@pytest.mark.parametrize(
    ("scheme", "label", "form"),
    [
        ("0015", b"", padding.PKCS1v15()),
        (
            "0017000b",
            b"label\0",
            padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), b"label\0"),
        ),
        (
            "0017000d",
            b"",
            padding.OAEP(padding.MGF1(hashes.SHA512()), hashes.SHA512(), None),
        ),
    ],
)
def test_rsa_both_ways(
    scheme: str, label: bytes, form: padding.AsymmetricPadding
) -> None:
    tpm, _, _ = started()
    key = put_in(tpm, rsa_areas(USES))
    tail = bytes.fromhex(scheme) + two_b(label)
    raw = tpm.execute(command(0x174, two_b(b"message") + tail, handles=(key,)))
    assert rsa_private().decrypt(raw[12:], form) == b"message"
    block = rsa_private().public_key().encrypt(b"message", form)
    assert run(tpm, 0x159, two_b(block) + tail, key) == two_b(b"message")
    before = whole_state(tpm)
    damaged = block[:-1] + bytes((block[-1] ^ 1,))
    assert run(tpm, 0x159, two_b(damaged) + tail, key) == refusal(0x84)
    assert whole_state(tpm) == before


def test_another_label_does_not_open() -> None:
    tpm, _, _ = started()
    key = put_in(tpm, rsa_areas(USES, "0017000b"))
    tail = b"\0\x10" + two_b(b"one\0")
    raw = tpm.execute(command(0x174, two_b(b"message") + tail, handles=(key,)))[10:]
    assert run(tpm, 0x159, raw + tail, key) == two_b(b"message")
    other = b"\0\x10" + two_b(b"two\0")
    assert run(tpm, 0x159, raw + other, key) == refusal(0x84)


def test_a_restricted_key_decrypts_nothing_for_anybody() -> None:
    tpm, _, _ = started()
    storage = rsa_areas(USES | RESTRICTED, symmetric="000600800043")
    key = put_in(tpm, storage)
    params = two_b(bytes(255) + b"\2") + b"\0\x10" + two_b(b"")
    assert run(tpm, 0x159, params, key) == refusal(0x182)
    point = put_in(tpm, ecc_areas(USES | RESTRICTED, symmetric="000600800043"))
    assert run(tpm, 0x154, ecc_point(3, 5), point) == refusal(0x182)


def multiple(curve: int, number: int) -> Point:
    public = ec.derive_private_key(number, CURVE[curve]).public_key().public_numbers()
    return public.x, public.y


def ecc_point(curve: int, number: int) -> bytes:
    """TPM2B_ECC_POINT of a multiple of the base point."""
    size = (CURVE[curve].key_size + 7) // 8
    return two_b(
        b"".join(two_b(each.to_bytes(size, "big")) for each in multiple(curve, number))
    )


def order(curve: int) -> int:
    """Of the base point, found by its property: (n - 1) G = -G has the same x."""
    return {
        3: 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    }[curve]


@pytest.mark.parametrize("curve", CURVE)
def test_both_sides_find_one_secret(curve: int) -> None:
    tpm, _, _ = started()
    key = put_in(tpm, ecc_areas(USES, curve=curve))
    answer = tpm.execute(command(0x163, handles=(key,)))
    assert rc_of(answer) == 0
    size = len(ecc_point(curve, 1))
    shared, ephemeral = answer[10 : 10 + size], answer[10 + size :]
    assert run(tpm, 0x154, ephemeral, key) == shared
    seven = ecc_point(curve, 7)
    assert run(tpm, 0x154, seven, key) == ecc_point(curve, 7 * D_ECC)
    assert tpm.execute(command(0x163, handles=(key,)))[10:] != answer[10:]


def ephemeral(tpm: Tpm, curve: int = 3) -> tuple[bytes, bytes]:
    """EC_Ephemeral: the point, the counter."""
    answer = tpm.execute(command(0x18E, curve.to_bytes(2, "big")))
    assert rc_of(answer) == 0
    return answer[10:-2], answer[-2:]


def test_two_phases_of_ecdh() -> None:
    tpm, _, _ = started()
    key = put_in(tpm, ecc_areas(USES))
    point, counter = ephemeral(tpm)
    params = ecc_point(3, 5) + ecc_point(3, 1) + b"\0\x19" + counter
    both = run(tpm, 0x18D, params, key)
    assert both == ecc_point(3, 5 * D_ECC) + point  # once times the base point
    assert run(tpm, 0x18D, params, key) == refusal(0x4C4)  # used up


def test_mqv_is_the_formula_of_sp_800_56a() -> None:
    """With own numbers: theirs 5 and 9, ours D and r; S = (r + avf(R) D) mod n, and
    the secret S (Qe + avf(Qe) Qs) is one multiple of the base point."""
    tpm, _, _ = started()
    key = put_in(tpm, ecc_areas(USES, "001d000b"))
    point, counter = ephemeral(tpm)
    n = order(3)
    r = ephemeral_number(tpm, point)
    half = 1 << 128

    def avf(x: int) -> int:
        return x % half + half

    own = (r + avf(int.from_bytes(point[4:36], "big")) * D_ECC) % n
    theirs = (9 + avf(multiple(3, 9)[0]) * 5) % n
    params = ecc_point(3, 5) + ecc_point(3, 9) + b"\0\x1d" + counter
    both = run(tpm, 0x18D, params, key)
    assert both == ecc_point(3, own * theirs % n) + bytes.fromhex("000400000000")


def ephemeral_number(tpm: Tpm, point: bytes) -> int:
    from pefstack.hw.tpm.commit_numbers import scalar

    number = scalar(tpm._inner, 0, b"", 3)
    assert ecc_point(3, number) == point
    return number


def commit(tpm: Tpm, key: int, p1: bytes, s2: bytes = b"", y2: bytes = b"") -> bytes:
    return run(tpm, 0x18B, p1 + two_b(s2) + two_b(y2), key)


NO_POINT = bytes.fromhex("000400000000")
ECDAA = "001a000b0000"


def second_point() -> tuple[bytes, bytes]:
    """s2 and y2 whose point (H(s2), y2) is on P-256."""
    p = 2**256 - 2**224 + 2**192 + 2**96 - 1
    b = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
    for number in range(100):
        s2 = bytes((number,))
        x = int.from_bytes(hashlib.sha256(s2).digest(), "big") % p
        square = (x**3 - 3 * x + b) % p
        y = pow(square, (p + 1) // 4, p)
        if y * y % p == square:
            return s2, y.to_bytes(32, "big")
    raise AssertionError


def test_commit_gives_the_points_that_were_asked_for() -> None:
    tpm, _, _ = started()
    key = put_in(tpm, ecc_areas(SIGN | USER | NO_DA, ECDAA))
    s2, y2 = second_point()
    length = len(ecc_point(3, 1))
    none = commit(tpm, key, NO_POINT)
    assert none[:12] == NO_POINT * 2
    assert len(none) == 12 + length + 2
    second = commit(tpm, key, NO_POINT, s2, y2)
    assert second[2 * length : -2] == NO_POINT
    assert second[4:36] != second[length + 4 : length + 36]
    both = commit(tpm, key, ecc_point(3, 3), s2, y2)
    assert len(both) == 3 * length + 2
    assert both[:length] == second[:length]  # K = d P2 has no random part
    assert [each[-2:] for each in (none, second, both)] == [
        b"\0\0",
        b"\0\1",
        b"\0\2",
    ]


def test_an_ecdaa_signature_belongs_to_its_commit() -> None:
    """s G = E + H(k || digest) Q, with E = r G of the commit."""
    tpm, _, _ = started()
    key = put_in(tpm, ecc_areas(SIGN | USER | NO_DA, ECDAA))
    answer = commit(tpm, key, NO_POINT)
    counter = answer[-2:]
    ticket = bytes.fromhex("8024400000070000")
    params = two_b(bytes(32)) + bytes.fromhex("001a000b") + counter + ticket
    raw = run(tpm, 0x15D, params, key)
    k, s = raw[6:38], int.from_bytes(raw[40:], "big")
    hashed = int.from_bytes(hashlib.sha256(k + bytes(32)).digest(), "big")
    r = (s - hashed * D_ECC) % order(3)
    assert ecc_point(3, r) == answer[12:-2]
    assert run(tpm, 0x15D, params, key) == refusal(0x84)


def test_commits_end_with_a_reset_and_outlive_a_resume() -> None:
    tpm, _, _ = started()
    point, counter = ephemeral(tpm)
    tpm.execute(SHUTDOWN_STATE)
    power_cycle(tpm)
    assert rc_of(tpm.execute(STARTUP_STATE)) == 0
    key = put_in(tpm, ecc_areas(USES))
    params = ecc_point(3, 5) + ecc_point(3, 1) + b"\0\x19" + counter
    assert run(tpm, 0x18D, params, key)[-len(point) :] == point
    _, counter = ephemeral(tpm)
    power_cycle(tpm)
    assert rc_of(tpm.execute(STARTUP_CLEAR)) == 0
    tpm._inner.state.objects.transient.clear()
    key = put_in(tpm, ecc_areas(USES))
    params = ecc_point(3, 5) + ecc_point(3, 1) + b"\0\x19" + counter
    assert run(tpm, 0x18D, params, key) == refusal(0x4C4)
    assert ephemeral(tpm)[0] != point


def test_only_so_many_commits_are_open() -> None:
    tpm, _, _ = started()
    key = put_in(tpm, ecc_areas(USES))
    _, first = ephemeral(tpm)
    for _ in range(128):
        _, last = ephemeral(tpm)
    for counter, is_open in ((first, False), (last, True)):
        params = ecc_point(3, 5) + ecc_point(3, 1) + b"\0\x19" + counter
        assert (run(tpm, 0x18D, params, key) != refusal(0x4C4)) is is_open


def test_clock_goes_forward_alone_and_heals_no_lockout() -> None:
    tpm, _, clock = started()
    clock.advance(100)
    attack = tpm._inner.state.dictionary_attack
    attack.fail(tpm._inner.clock_value())
    before = whole_state(tpm)
    too_far = (0xFFFF000000000001).to_bytes(8, "big")
    for wrong in ((99).to_bytes(8, "big"), too_far):
        assert run(tpm, 0x128, wrong, OWNER) == refusal(0x1C4)
    assert whole_state(tpm) == before
    year = 365 * 86400 * 1000
    assert run(tpm, 0x128, year.to_bytes(8, "big"), OWNER) == b""
    assert clock_info(tpm)[:2] == (100, year)
    attack.heal(tpm._inner.clock_value())
    assert attack.failed_tries == 1
    clock.advance(1_000_000)
    attack.heal(tpm._inner.clock_value())
    assert attack.failed_tries == 0


@pytest.mark.parametrize("curve", [3, 4, 5, 0x10])
def test_parameters_of_a_curve(curve: int) -> None:
    expected = vector("swtpm_attestations.json")["ecc_parameters"][str(curve)]
    answer = started()[0].execute(command(0x178, curve.to_bytes(2, "big")))
    assert answer[10:].hex() == expected


@pytest.mark.parametrize("curve", [0, 1, 2, 6, 0x11, 0x20])
def test_parameters_of_a_curve_that_is_not_here(curve: int) -> None:
    answer = started()[0].execute(command(0x178, curve.to_bytes(2, "big")))
    assert answer == refusal(0x1E6)
