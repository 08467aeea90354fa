"""Primes for RSA: a sieve, a filter through OpenSSL, and Miller-Rabin.

Most candidates fall to the sieve and the filter; what is left is proven by rounds of
Miller-Rabin. The result follows from the stream alone, whichever way the filter runs.
"""

from __future__ import annotations

from functools import cache
from math import gcd
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256

from pefstack.hw.tpm.codes import TpmAlgId
from pefstack.hw.tpm.crypto.rsa_encoding import signature_block
from pefstack.hw.tpm.crypto.stream import Stream

WINDOW: Final = 4096  # odd numbers looked at from one random start
SIEVE_LIMIT: Final = 1 << 15
MAX_WINDOWS: Final = 64  # a window of 1536 bits lacks a prime once in 2,000 times

# FIPS 186-4 C.3: rounds for an error below 2^-100, 2^-112 and 2^-128
_ROUNDS: Final = ((1536, 4), (1024, 5), (0, 7))

# 2^1024 - 2^960 - 1 + 2^64 * (floor(2^894 * pi) + 129093): RFC 2409, 6.2
_KNOWN_PRIME: Final = int(
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74"
    "020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F1437"
    "4FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED"
    "EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE65381FFFFFFFFFFFFFFFF",
    16,
)
_MIN_OPENSSL_BITS: Final = 1024
_FILTER_DIGEST: Final = bytes(32)
_FILTER_HASH: Final = Prehashed(SHA256())


def find_prime(stream: Stream, bits: int, exponent: int) -> int:
    """A prime of ``bits`` bits, the top two set, with p - 1 coprime to ``exponent``.

    ``bits`` is a multiple of 8. ValueError when the stream leads to none.
    """
    top = 3 << bits - 2
    for _ in range(MAX_WINDOWS):
        start = int.from_bytes(stream.random_bytes(bits // 8), "big") | top | 1
        for candidate in _candidates(start):
            if candidate.bit_length() > bits:
                break
            if gcd(candidate - 1, exponent) == 1 and is_prime(candidate, stream):
                return candidate
    raise ValueError(f"no prime of {bits} bits comes from this stream")


def is_prime(number: int, stream: Stream) -> bool:
    """Whether an odd number of 512 bits or more is prime."""
    return _passes_filter(number) and passes_miller_rabin(number, stream)


def passes_miller_rabin(number: int, stream: Stream) -> bool:
    """Miller-Rabin with as many random bases as FIPS 186-4 asks for its size."""
    bits = number.bit_length()
    shift = (number - 1 & 1 - number).bit_length() - 1
    odd = number - 1 >> shift
    rounds = next(count for least, count in _ROUNDS if bits >= least)
    for _ in range(rounds):
        drawn = int.from_bytes(stream.random_bytes(bits // 8 + 8), "big")
        if not _is_strong_to(number, 2 + drawn % (number - 3), odd, shift):
            return False
    return True


def _is_strong_to(number: int, base: int, odd: int, shift: int) -> bool:
    power = pow(base, odd, number)
    if power in (1, number - 1):
        return True
    for _ in range(shift - 1):
        power = power * power % number
        if power == number - 1:
            return True
    return False


def _candidates(start: int) -> list[int]:
    """The numbers of the window from ``start`` that no small prime divides."""
    window = bytearray(b"\1") * WINDOW  # byte i stands for start + 2i
    for prime in _small_primes():
        first = -start * (prime + 1 >> 1) % prime  # (prime + 1) / 2 is 1 / 2
        window[first::prime] = bytes(len(range(first, WINDOW, prime)))
    return [start + 2 * place for place in range(WINDOW) if window[place]]


@cache
def _small_primes() -> tuple[int, ...]:
    """The odd primes below the limit of the sieve."""
    half = SIEVE_LIMIT // 2
    odd = bytearray(b"\1") * half  # byte i stands for 2i + 1
    for place in range(1, int(SIEVE_LIMIT**0.5) // 2 + 1):
        first = 2 * place * (place + 1)
        odd[first :: 2 * place + 1] = bytes(len(range(first, half, 2 * place + 1)))
    return tuple(2 * place + 1 for place in range(1, half) if odd[place])


def _passes_filter(number: int) -> bool:
    """The test of Fermat to one fixed base, the block of a signature."""
    size = (number.bit_length() + 7) // 8
    block = signature_block(TpmAlgId.SHA256, _FILTER_DIGEST, size)
    base = int.from_bytes(block, "big")
    if size * 8 >= _MIN_OPENSSL_BITS and _openssl_can_filter():
        return _openssl_filter(number, base, size)
    return pow(base, number - 1, number) == 1


def _openssl_filter(number: int, base: int, size: int) -> bool:
    """The same test ten times as fast: as the check of an RSA signature.

    With the exponent n - 2 the signature 1 / base gives base back exactly when
    base^(n - 1) is 1: (1 / base)^(n - 2) = base * base^-(n - 1).
    """
    if gcd(base, number) != 1:
        return False
    key = RSAPublicNumbers(number - 2, number).public_key()
    signature = pow(base, -1, number).to_bytes(size, "big")
    try:
        key.verify(signature, _FILTER_DIGEST, PKCS1v15(), _FILTER_HASH)
    except InvalidSignature:
        return False
    return True


@cache
def _openssl_can_filter() -> bool:
    """Whether this OpenSSL takes such an exponent: tried with a prime that is known."""
    size = _KNOWN_PRIME.bit_length() // 8
    block = signature_block(TpmAlgId.SHA256, _FILTER_DIGEST, size)
    try:
        return _openssl_filter(_KNOWN_PRIME, int.from_bytes(block, "big"), size)
    except ValueError:
        return False
