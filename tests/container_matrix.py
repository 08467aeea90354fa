"""Every field of a version 1 header, what a test does to it, and who signs it again.

The places are those of boot-chain.md 1.1, written out; keys are used directly, without
the code under test.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.serialization import load_pem_private_key

BOOT_CHAIN = Path(__file__).parent / "vectors" / "boot-chain"
KEYS = BOOT_CHAIN / "keys"
HW_KEY_HASH = bytes.fromhex(
    "40d487ff7380ed6ad54775d5795fea0de2f541fea9db06b8466a42a320e65f75"
    "b48665460017d907515dc2a5f9fc50954d6ee0c9b67d219dfb7085351d01d6d1"
)
SOFTWARE_AT = {1: 1052, 2: 1184, 3: 1316}  # by the number of software keys


class Field(NamedTuple):
    """One field of the 4096 bytes; ``owner`` is the part whose signatures cover it."""

    name: str
    offset: int
    size: int
    owner: str = ""


HARDWARE = (
    Field("magic", 0, 4),
    Field("version", 4, 2),
    Field("container_size", 6, 8),
    Field("target_hrmor", 14, 8),
    Field("stack_pointer", 22, 8),
    Field("hw_pkey_a", 30, 132),
    Field("hw_pkey_b", 162, 132),
    Field("hw_pkey_c", 294, 132),
)
PREFIX = (
    Field("prefix.version", 426, 2, "prefix"),
    Field("prefix.hash_alg", 428, 1, "prefix"),
    Field("prefix.sig_alg", 429, 1, "prefix"),
    Field("prefix.code_start_offset", 430, 8, "prefix"),
    Field("prefix.reserved", 438, 8, "prefix"),
    Field("prefix.flags", 446, 4, "prefix"),
    Field("prefix.sw_key_count", 450, 1, "prefix"),
    Field("prefix.payload_size", 451, 8, "prefix"),
    Field("prefix.payload_hash", 459, 64, "prefix"),
    Field("prefix.ecid_count", 523, 1, "prefix"),
    Field("hw_sig_a", 524, 132),
    Field("hw_sig_b", 656, 132),
    Field("hw_sig_c", 788, 132),
)
SOFTWARE = (  # offsets in the software header
    Field("software.version", 0, 2, "software"),
    Field("software.hash_alg", 2, 1, "software"),
    Field("software.sig_alg", 3, 1, "software"),
    Field("software.code_start_offset", 4, 8, "software"),
    Field("software.component_id", 12, 8, "software"),
    Field("software.flags", 20, 4, "software"),
    Field("software.security_version", 24, 1, "software"),
    Field("software.payload_size", 25, 8, "software"),
    Field("software.payload_hash", 33, 64, "software"),
    Field("software.ecid_count", 97, 1, "software"),
)


def table(count: int) -> tuple[Field, ...]:
    """All fields of a header with this many software keys, its padding among them."""
    at = SOFTWARE_AT[count]
    end = at + 98 + 132 * count
    return (
        *HARDWARE,
        *PREFIX,
        *(Field(f"sw_pkey_{'pqr'[n]}", 920 + 132 * n, 132) for n in range(count)),
        *(each._replace(offset=at + each.offset) for each in SOFTWARE),
        *(Field(f"sw_sig_{'pqr'[n]}", at + 98 + 132 * n, 132) for n in range(count)),
        Field("padding", end, 4096 - end),
    )


def mutations(header: bytes, field: Field) -> dict[str, int]:
    """Other values of a field: 0, 1, all ones, one more, one less, one bit turned."""
    old, top = read(header, field), 1 << 8 * field.size
    values = {
        "zero": 0,
        "one": 1,
        "max": top - 1,
        "plus": (old + 1) % top,
        "minus": (old - 1) % top,
        "flip": old ^ 1 << 4 * field.size,
    }
    first = {value: name for name, value in reversed(values.items())}
    return {name: value for value, name in first.items() if value != old}


def variants(
    header: bytes, payload: bytes, field: Field, value: int
) -> Iterator[tuple[str, bytes]]:
    """The header with this value: as it is, signed again, hashed and signed again."""
    raw = put(header, field, value)
    yield "raw", raw
    if field.owner == "prefix":
        yield "signed", sign_prefix(raw)
    if field.owner == "software":
        yield "signed", sign_software(raw)
    if field.name == "prefix.sw_key_count":
        yield "hashed", sign_prefix(hash_keys(raw, 132 * value))
    if field.name == "prefix.payload_size" or field.name.startswith("sw_pkey"):
        yield "hashed", sign_prefix(hash_keys(raw, int.from_bytes(raw[451:459], "big")))
    if field.name == "software.payload_size":
        yield "hashed", sign_software(hash_payload(raw, payload[:value]))


def read(header: bytes, field: Field) -> int:
    return int.from_bytes(header[field.offset : field.offset + field.size], "big")


def put(header: bytes, field: Field, value: int) -> bytes:
    return put_bytes(header, field.offset, value.to_bytes(field.size, "big"))


def put_bytes(raw: bytes, at: int, new: bytes) -> bytes:
    return raw[:at] + new + raw[at + len(new) :]


def hash_keys(header: bytes, size: int) -> bytes:
    """The prefix announces and hashes this many bytes of keys, if there are so many."""
    digest = hashlib.sha512(header[920 : 920 + min(size, 4096)]).digest()
    return put_bytes(put_bytes(header, 451, size.to_bytes(8, "big")), 459, digest)


def hash_payload(header: bytes, protected: bytes) -> bytes:
    at = SOFTWARE_AT[header[450]] + 33
    return put_bytes(header, at, hashlib.sha512(protected).digest())


def sign_prefix(header: bytes) -> bytes:
    """Three signatures over the prefix; ECIDs that it announces move all else up."""
    ecids = 16 * header[523]
    end = 524 + ecids
    if end + 396 > 4096:
        return header
    header = (header[:524] + bytes(ecids) + header[524:])[:4096]
    names = ("hw_key_a", "hw_key_b", "hw_key_c")
    signatures = b"".join(sign(name, header[426:end]) for name in names)
    return put_bytes(header, end, signatures)


def sign_software(header: bytes) -> bytes:
    """Signatures of all software keys, where the verifiers look for them."""
    count = header[450]
    at = SOFTWARE_AT[count]
    ecids = 16 * header[at + 97]
    end = at + 98 + ecids
    if end + 132 * count > 4096:
        return header
    header = (header[: at + 98] + bytes(ecids) + header[at + 98 :])[:4096]
    names = ("sw_key_p", "sw_key_q", "sw_key_r")[:count]
    signatures = b"".join(sign(name, header[at:end]) for name in names)
    return put_bytes(header, end, signatures)


@cache
def sign(name: str, message: bytes) -> bytes:
    """r and s, 132 bytes; the same for the same message."""
    algorithm = ec.ECDSA(SHA512(), deterministic_signing=True)
    r, s = decode_dss_signature(_private(name).sign(message, algorithm))
    return r.to_bytes(66, "big") + s.to_bytes(66, "big")


@cache
def _private(name: str) -> ec.EllipticCurvePrivateKey:
    pem = (KEYS / "pem-named-curve" / f"{name}.key").read_bytes()
    key = load_pem_private_key(pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key
