"""RSA: keys out of a stream, raw operations, encryption and signatures (Part 1, B)."""

from __future__ import annotations

from dataclasses import dataclass, field
from hmac import compare_digest
from typing import Final

from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPrivateKey,
    RSAPrivateNumbers,
    RSAPublicNumbers,
)
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from pefstack.hw.tpm.crypto.package_hashes import hash_object
from pefstack.hw.tpm.crypto.primes import find_prime
from pefstack.hw.tpm.crypto.rsa_encoding import (
    PADDING_ERROR,
    check_digest,
    is_pss_block,
    oaep_block,
    open_pkcs1,
    pkcs1_block,
    pss_block,
    signature_block,
)
from pefstack.hw.tpm.crypto.stream import Stream

KEY_BITS: Final = (1024, 2048, 3072, 4096)
DEFAULT_EXPONENT: Final = 65537  # what an exponent of 0 stands for
MIN_DISTANCE: Final = 100  # |p - q| > 2^(bits / 2 - 100): FIPS 186-4, B.3.1
MAX_DRAWS: Final = 16


@dataclass(frozen=True, slots=True)
class RsaKey:
    """Modulus, public exponent and one prime; the other numbers follow from them."""

    n: int
    e: int
    p: int = field(repr=False)

    @property
    def q(self) -> int:
        """The other prime."""
        return self.n // self.p

    @property
    def size(self) -> int:
        """Bytes of the modulus, and of every block."""
        return modulus_size(self.n)


def generate(stream: Stream, bits: int, exponent: int = DEFAULT_EXPONENT) -> RsaKey:
    """The key of ``bits`` bits that follows from the stream.

    Both primes have their top two bits set and are at least 2^(bits / 2 - 100) apart.
    ValueError for a size or exponent that is not served.
    """
    if bits not in KEY_BITS:
        raise ValueError(f"no RSA keys of {bits} bits")
    if not 3 <= exponent < 1 << 32 or exponent % 2 == 0:
        raise ValueError(f"0x{exponent:x} is no public exponent")
    p = find_prime(stream, bits // 2, exponent)
    for _ in range(MAX_DRAWS):
        q = find_prime(stream, bits // 2, exponent)
        if abs(p - q) >> bits // 2 - MIN_DISTANCE:
            return RsaKey(p * q, exponent, p)
    raise ValueError("no second prime comes from this stream")


def from_prime(n: int, e: int, p: int) -> RsaKey:
    """The key of a public part and one prime; ValueError when they do not fit."""
    if not 1 < p < n or n % p:
        raise ValueError("the prime does not divide the modulus")
    if not 3 <= e < n or e % 2 == 0:
        raise ValueError(f"0x{e:x} is no public exponent")
    return RsaKey(n, e, p)


def modulus_size(n: int) -> int:
    """Bytes of a modulus."""
    return (n.bit_length() + 7) // 8


def public_op(n: int, e: int, block: bytes) -> bytes:
    """block^e mod n, as long as the modulus; ValueError if the block is no residue."""
    return pow(_residue(n, block), e, n).to_bytes(modulus_size(n), "big")


def private_op(key: RsaKey, block: bytes) -> bytes:
    """block^d mod n by the two primes; ValueError if the block is no residue."""
    number = _residue(key.n, block)
    p, q = key.p, key.q
    by_p = pow(number % p, pow(key.e, -1, p - 1), p)
    by_q = pow(number % q, pow(key.e, -1, q - 1), q)
    result = by_q + (by_p - by_q) * pow(q, -1, p) % p * q
    return result.to_bytes(key.size, "big")


def oaep_encrypt(
    n: int, e: int, alg: int, label: bytes, message: bytes, stream: Stream
) -> bytes:
    """RSAES-OAEP with MGF1 of the same hash; ``label`` with its NUL."""
    size = modulus_size(n)
    return public_op(n, e, oaep_block(alg, label, message, size, stream))


def oaep_decrypt(key: RsaKey, alg: int, label: bytes, block: bytes) -> bytes:
    """The message; one and the same ValueError for every fault."""
    hashed = hash_object(alg)
    scheme = padding.OAEP(padding.MGF1(hashed), hashed, label)
    try:
        return _private_key(key).decrypt(block, scheme)
    except ValueError:
        raise ValueError(PADDING_ERROR) from None


def pkcs1_encrypt(n: int, e: int, message: bytes, stream: Stream) -> bytes:
    """RSAES-PKCS1-v1_5."""
    return public_op(n, e, pkcs1_block(message, modulus_size(n), stream))


def pkcs1_decrypt(key: RsaKey, block: bytes) -> bytes:
    """The message; one and the same ValueError for every fault."""
    if len(block) != key.size or int.from_bytes(block, "big") >= key.n:
        raise ValueError(PADDING_ERROR)
    return open_pkcs1(private_op(key, block))


def sign_rsassa(key: RsaKey, alg: int, digest: bytes) -> bytes:
    """RSASSA-PKCS1-v1_5 of a digest; ValueError when it does not fit."""
    check_digest(alg, digest)
    hashed = Prehashed(hash_object(alg))
    return _private_key(key).sign(digest, padding.PKCS1v15(), hashed)


def verify_rsassa(n: int, e: int, alg: int, digest: bytes, signature: bytes) -> bool:
    """Whether the signature is one of the digest; never remembered."""
    try:
        expected = signature_block(alg, digest, modulus_size(n))
        return compare_digest(_recovered(n, e, signature), expected)
    except ValueError:
        return False


def sign_rsapss(key: RsaKey, alg: int, digest: bytes, stream: Stream) -> bytes:
    """RSASSA-PSS of a digest, the salt as long as the digest where that fits."""
    return private_op(key, pss_block(alg, digest, key.n.bit_length(), stream))


def verify_rsapss(n: int, e: int, alg: int, digest: bytes, signature: bytes) -> bool:
    """Whether the signature is one of the digest, with a salt of any length."""
    try:
        return is_pss_block(alg, digest, _recovered(n, e, signature))
    except ValueError:
        return False


def _residue(n: int, block: bytes) -> int:
    if len(block) > modulus_size(n):
        raise ValueError(f"a block of {len(block)} bytes")
    number = int.from_bytes(block, "big")
    if number >= n:
        raise ValueError("the block is not below the modulus")
    return number


def _private_key(key: RsaKey) -> RSAPrivateKey:
    """The object of the package, made anew for each use: it costs 0.1 ms."""
    p, q = key.p, key.q
    d = pow(key.e, -1, (p - 1) * (q - 1))
    inverse = pow(q, -1, p)
    public = RSAPublicNumbers(key.e, key.n)
    numbers = RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), inverse, public)
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)


def _recovered(n: int, e: int, signature: bytes) -> bytes:
    if len(signature) != modulus_size(n):
        raise ValueError(f"a signature of {len(signature)} bytes")
    return public_op(n, e, signature)
