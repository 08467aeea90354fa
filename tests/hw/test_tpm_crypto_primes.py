"""The search for primes: what it accepts, and that its filter changes nothing."""

from __future__ import annotations

from math import gcd, isqrt

import pytest

from pefstack.hw.entropy import Entropy
from pefstack.hw.tpm.crypto import primes, rsa
from pefstack.hw.tpm.crypto.rsa import generate
from pefstack.hw.tpm.crypto.rsa_encoding import signature_block

KNOWN_PRIMES = (2**521 - 1, 2**607 - 1, 2**1279 - 1)
# strong pseudoprimes to many small bases
PSEUDOPRIMES = (
    3825123056546413051,  # to the first nine primes
    318665857834031151167461,  # to the first twelve
    3317044064679887385961981,  # to the first thirteen
    1195068768795265792518361315725116351898245581,  # Carmichael and to 2 … 71
)


def stream(seed: str = "primes") -> Entropy:
    return Entropy(seed, "test")


class Spent:
    """A stream that gives one byte for ever."""

    def __init__(self, byte: int) -> None:
        self.byte = byte

    def random_bytes(self, count: int) -> bytes:
        return bytes((self.byte,)) * count


def by_trial(limit: int) -> list[int]:
    return [n for n in range(3, limit, 2) if all(n % d for d in range(3, isqrt(n) + 1))]


def test_small_primes() -> None:
    own = primes._small_primes()
    assert own[:429] == tuple(by_trial(3000))
    assert own[-1] == 32749  # the greatest below 2^15
    assert len(own) == 3511  # pi(2^15) = 3512, without 2


@pytest.mark.parametrize("number", KNOWN_PRIMES)
def test_known_primes(number: int) -> None:
    assert primes.is_prime(number, stream())


@pytest.mark.parametrize("number", [n - 2 for n in KNOWN_PRIMES])
def test_their_neighbours(number: int) -> None:
    assert not primes.is_prime(number, stream())


@pytest.mark.parametrize("number", PSEUDOPRIMES)
def test_pseudoprimes_do_not_pass_random_bases(number: int) -> None:
    assert pow(2, number - 1, number) == 1  # else it proves nothing
    assert not primes.passes_miller_rabin(number, stream())


def test_the_filter_alone_decides_nothing() -> None:
    """A Carmichael number passes Fermat's test to every base that is coprime to it."""
    k = 0x10C386BBC4CD613E30D8F16ADF91B7584A22680AB0
    parts = [6 * k + 1, 12 * k + 1, 18 * k + 1]
    number = parts[0] * parts[1] * parts[2]
    assert all((number - 1) % (part - 1) == 0 for part in parts)
    assert all(pow(2, part - 1, part) == 1 for part in parts)
    assert primes._passes_filter(number)
    assert not primes.is_prime(number, stream())


def test_rounds_of_the_standard() -> None:
    """A prime draws a base for each round, a composite almost always one."""
    drawn: list[int] = []

    class Counting:
        def random_bytes(self, count: int) -> bytes:
            drawn.append(count)
            return stream().random_bytes(count)

    for number, rounds in ((2**607 - 1, 7), (2**1279 - 1, 5), (2**2203 - 1, 4)):
        drawn.clear()
        assert primes.passes_miller_rabin(number, Counting())
        assert len(drawn) == rounds


def test_sieve_keeps_what_no_small_prime_divides() -> None:
    start = 2**300 + 331
    kept = primes._candidates(start)
    limit = by_trial(1 << 9)
    expected = [
        number
        for number in range(start, start + 2 * primes.WINDOW, 2)
        if all(number % prime for prime in limit)
    ]
    assert set(kept) < set(expected)  # the sieve goes further
    small = primes._small_primes()
    assert all(number % prime for number in kept for prime in small)
    dropped = set(expected) - set(kept)
    assert all(any(n % prime == 0 for prime in small) for n in dropped)


@pytest.mark.parametrize("bits", [512, 1024])
def test_a_prime_has_its_size_and_fits_the_exponent(bits: int) -> None:
    prime = primes.find_prime(stream(), bits, 3)
    assert prime >> bits - 2 == 3
    assert prime.bit_length() == bits
    assert prime % 3 == 2  # so that 3 does not divide p - 1
    assert gcd(prime - 1, 3) == 1


def test_openssl_filter_says_what_fermat_says() -> None:
    size = 128
    block = signature_block(0x000B, bytes(32), size)
    base = int.from_bytes(block, "big")
    start = int.from_bytes(stream().random_bytes(size), "big") | 3 << 1022 | 1
    numbers = primes._candidates(start)[:60]
    numbers += [start, start + 2, primes._KNOWN_PRIME]
    said = [primes._openssl_filter(number, base, size) for number in numbers]
    assert said == [pow(base, number - 1, number) == 1 for number in numbers]
    assert said[-1]


def test_number_that_shares_a_factor_with_the_base() -> None:
    block = signature_block(0x000B, bytes(32), 128)
    base = int.from_bytes(block, "big")
    factor = next(prime for prime in primes._small_primes() if base % prime == 0)
    number = factor * (2**1016 + 1 | 1)
    assert not primes._openssl_filter(number, base, 128)


def test_without_the_filter_the_key_is_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An OpenSSL that takes no such exponent costs time, not keys."""
    key = generate(stream(), 2048)
    monkeypatch.setattr(primes, "_openssl_can_filter", lambda: False)
    monkeypatch.setattr(primes, "_openssl_filter", None)
    assert generate(stream(), 2048) == key


def test_an_openssl_that_refuses_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing:
        def __init__(self, e: int, n: int) -> None:
            pass

        def public_key(self) -> None:
            raise ValueError("e is too large")

    assert primes._openssl_can_filter.__wrapped__()
    monkeypatch.setattr(primes, "RSAPublicNumbers", Refusing)
    assert not primes._openssl_can_filter.__wrapped__()


def test_a_stream_that_leads_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(primes, "is_prime", lambda number, stream: False)
    with pytest.raises(ValueError, match="no prime of 512 bits"):
        primes.find_prime(stream(), 512, 3)


def test_no_candidate_has_a_bit_too_many() -> None:
    """A window that begins at the last number of its size holds nothing else."""
    with pytest.raises(ValueError, match="no prime of 512 bits"):
        primes.find_prime(Spent(0xFF), 512, 3)


def test_a_stream_that_repeats_itself() -> None:
    with pytest.raises(ValueError, match="no second prime"):
        generate(Spent(0x5A), 1024)


def test_primes_that_lie_too_close(monkeypatch: pytest.MonkeyPatch) -> None:
    """|p - q| must exceed 2^(bits / 2 - 100), else another q is drawn."""
    p = primes.find_prime(stream(), 512, 3)
    drawn = [p, p, p + (1 << 412) - 2, p - (1 << 412) + 2, p + (1 << 412)]
    monkeypatch.setattr(rsa, "find_prime", lambda *given: drawn.pop(0))
    assert generate(stream(), 1024).q == p + (1 << 412)
    assert drawn == []
