"""The paddings of RSA: PKCS #1 v1.5, OAEP and PSS (RFC 8017; Part 1, annex B).

A block is as long as the modulus.
"""

from __future__ import annotations

from hmac import compare_digest
from typing import Final

from pefstack.hw.tpm.codes import DIGEST_SIZE, TpmAlgId
from pefstack.hw.tpm.crypto.hashes import constructor, digest
from pefstack.hw.tpm.crypto.stream import Stream
from pefstack.hw.tpm.crypto.symmetric import xor

MIN_PKCS1_PADDING: Final = 8  # bytes that are not zero
PADDING_ERROR: Final = "the block cannot be opened"

_DIGEST_INFO: Final = {  # DER up to the digest itself (RFC 8017, 9.2)
    TpmAlgId.SHA1: bytes.fromhex("3021300906052b0e03021a05000414"),
    TpmAlgId.SHA256: bytes.fromhex("3031300d060960864801650304020105000420"),
    TpmAlgId.SHA384: bytes.fromhex("3041300d060960864801650304020205000430"),
    TpmAlgId.SHA512: bytes.fromhex("3051300d060960864801650304020305000440"),
}


def mgf1(alg: int, seed: bytes, size: int) -> bytes:
    """MGF1: ``size`` bytes out of hashes of the seed and a counter."""
    count = -(-size // DIGEST_SIZE[alg])
    blocks = [digest(alg, seed, index.to_bytes(4, "big")) for index in range(count)]
    return b"".join(blocks)[:size]


def signature_block(alg: int, digest_value: bytes, size: int) -> bytes:
    """EMSA-PKCS1-v1_5 of a digest; ValueError when it does not fit."""
    check_digest(alg, digest_value)
    tail = b"\0" + _DIGEST_INFO[TpmAlgId(alg)] + digest_value
    fill = size - 2 - len(tail)
    if fill < MIN_PKCS1_PADDING:
        raise ValueError(f"a digest of {len(digest_value)} bytes does not fit")
    return b"\0\1" + b"\xff" * fill + tail


def pkcs1_block(message: bytes, size: int, stream: Stream) -> bytes:
    """EME-PKCS1-v1_5: random bytes that are not zero, then the message."""
    fill = size - 3 - len(message)
    if fill < MIN_PKCS1_PADDING:
        raise ValueError(f"a message of {len(message)} bytes does not fit")
    padding = b""
    while len(padding) < fill:
        padding += stream.random_bytes(fill - len(padding)).replace(b"\0", b"")
    return b"\0\2" + padding + b"\0" + message


def open_pkcs1(block: bytes) -> bytes:
    """The message of a `pkcs1_block`; ValueError for anything else."""
    end = block.find(b"\0", 2)
    if not (block[:2] == b"\0\2") & (end >= 2 + MIN_PKCS1_PADDING):
        raise ValueError(PADDING_ERROR)
    return block[end + 1 :]


def oaep_block(
    alg: int, label: bytes, message: bytes, size: int, stream: Stream
) -> bytes:
    """EME-OAEP; the label with its NUL; ValueError when the message does not fit."""
    hash_size = DIGEST_SIZE[alg]
    fill = size - 2 - 2 * hash_size - len(message)
    if fill < 0:
        raise ValueError(f"a message of {len(message)} bytes does not fit")
    data = digest(alg, label) + bytes(fill) + b"\1" + message
    seed = stream.random_bytes(hash_size)
    masked = xor(data, mgf1(alg, seed, len(data)))
    return b"\0" + xor(seed, mgf1(alg, masked, hash_size)) + masked


def pss_block(alg: int, digest_value: bytes, bits: int, stream: Stream) -> bytes:
    """EMSA-PSS for a modulus of ``bits`` bits (a multiple of 8).

    The salt is as long as the digest, or as long as fits if that is less: so does the
    reference (measured, and `CryptRsaPssSaltSize` of Part 4).
    """
    check_digest(alg, digest_value)
    hash_size = DIGEST_SIZE[alg]
    room = bits // 8 - hash_size - 2
    if room < 0:
        raise ValueError(f"a digest of {len(digest_value)} bytes does not fit")
    salt = stream.random_bytes(min(hash_size, room))
    hashed = digest(alg, bytes(8), digest_value, salt)
    data = bytes(room - len(salt)) + b"\1" + salt
    masked = xor(data, mgf1(alg, hashed, len(data)))
    return _without_top_bit(masked) + hashed + b"\xbc"


def is_pss_block(alg: int, digest_value: bytes, block: bytes) -> bool:
    """Whether ``block`` is an EMSA-PSS encoding of the digest; any length of salt."""
    check_digest(alg, digest_value)
    hash_size = DIGEST_SIZE[alg]
    size = len(block) - hash_size - 1
    if size < 1 or block[-1] != 0xBC or block[0] & 0x80:
        return False
    masked, hashed = block[:size], block[size:-1]
    data = _without_top_bit(xor(masked, mgf1(alg, hashed, size))).lstrip(b"\0")
    expected = digest(alg, bytes(8), digest_value, data[1:])
    return data[:1] == b"\1" and compare_digest(hashed, expected)


def check_digest(alg: int, digest_value: bytes) -> None:
    """ValueError unless the digest has the size of its algorithm."""
    constructor(alg)
    if len(digest_value) != DIGEST_SIZE[alg]:
        raise ValueError(f"a digest of {len(digest_value)} bytes")


def _without_top_bit(block: bytes) -> bytes:
    return bytes((block[0] & 0x7F,)) + block[1:]
