"""Which code a container must give: boot-chain.md 1.3 and 1.4, written a second time.

Shares nothing with the code under test: every offset is written out, and keys are
checked as numbers on the curve. 0 stands for "accepted".
"""

from __future__ import annotations

import hashlib
from functools import cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA512


def log_word(code: int) -> int:
    """The 64-bit word that the real code leaves."""
    return 0xFFFFFFFFFFFF8100 | code if code else 0x103


def rom_code(container: bytes, hw_key_hash: bytes, minimum: int) -> int:
    """The code of the ROM verification on a container (1.3)."""
    if container[0:4] != bytes.fromhex("17082011"):
        return 0x20
    if container[4:6] != b"\0\1":
        return 0x21
    if sha512(container[30:426]) != hw_key_hash:
        return 0x60
    if container[426:430] != b"\0\1\1\1":
        return 0x22
    if not hw_signed(container, "abc"):
        return 0x61
    if container[523] != 0:
        return 0x62
    return software_keys(container) or rom_software(container, minimum)


def rom_software(container: bytes, minimum: int) -> int:
    """Checks 10 to 16, once the number of software keys is known to be right."""
    count = container[450]
    software = {1: 1052, 2: 1184, 3: 1316}[count]
    size = number(container, software + 25, 8)
    entry = number(container, software + 4, 8)
    if container[software + 24] < minimum:
        return 0x90
    if container[software : software + 3] != b"\0\1\1":
        return 0x23
    if not sw_signed(container, software, count):
        return 0x70
    if container[software + 97] != 0:
        return 0x71
    if entry >= 1 << 63 or entry % 4:
        return 0x80
    if entry + 3 >= size:
        return 0x73
    protected = container[4096 : 4096 + size]
    if len(protected) < size:
        return 0x72
    wanted = container[software + 33 : software + 97]
    return 0 if sha512(protected) == wanted else 0x72


def sbe_code(
    header: bytes, payload: bytes, label: bytes, hw_key_hash: bytes, minimum: int
) -> int:
    """The code of the SBE's verification (1.4); ``label`` is HBBL or SBE_FW."""
    if header[0:4] != bytes.fromhex("17082011"):
        return 0x20
    if header[4:6] != b"\0\1":
        return 0x21
    if sha512(header[30:426]) != hw_key_hash:
        return 0x60
    if header[426:430] != b"\0\1\1\1":
        return 0x22
    if 98 + 16 * header[523] > 400:
        return 0x66
    if not hw_signed(header, "a" if label == b"HBBL" else "c"):
        return 0x61
    if header[523] != 0:
        return 0x62
    if number(header, 451, 8) > 400:
        return 0x67
    return software_keys(header) or sbe_software(header, payload, label, minimum)


def sbe_software(header: bytes, payload: bytes, label: bytes, minimum: int) -> int:
    """What the SBE looks at once the software keys are known."""
    software = 920 + 132 * header[450]
    entry = number(header, software + 4, 8)
    if header[software + 24] < minimum:
        return 0x90
    if header[software : software + 3] != b"\0\1\1":
        return 0x23
    if header[software + 97] != 0:
        return 0x71
    if not sw_signed(header, software, 1):
        return 0x70
    if entry >= 1 << 63 or entry % 4:
        return 0x80
    if header[software + 12 : software + 20] != label.ljust(8, b"\0"):
        return 0x74
    if number(header, software + 25, 8) != len(payload):
        return 0x68
    wanted = header[software + 33 : software + 97]
    return 0 if sha512(payload) == wanted else 0x72


def software_keys(header: bytes) -> int:
    """Checks 7 to 9, the same for both."""
    size = number(header, 451, 8)
    keys = header[920 : 920 + size]
    if len(keys) < size or sha512(keys) != header[459:523]:
        return 0x63
    if header[450] not in (1, 2, 3):
        return 0x65
    return 0 if size == 132 * header[450] else 0x64


def hw_signed(header: bytes, names: str) -> bool:
    """Whether these of the keys a, b, c signed the prefix header and its ECIDs."""
    end = 524 + 16 * header[523]
    keys = {"a": (30, end), "b": (162, end + 132), "c": (294, end + 264)}
    message = header[426:end]
    return all(
        signed(header[key : key + 132], header[at : at + 132], message)
        for key, at in (keys[name] for name in names)
    )


def sw_signed(header: bytes, software: int, checked: int) -> bool:
    """Whether the first ``checked`` software keys signed the software header."""
    end = software + 98 + 16 * header[software + 97]
    message = header[software:end]
    return all(
        signed(header[key : key + 132], header[at : at + 132], message)
        for key, at in ((920 + 132 * n, end + 132 * n) for n in range(checked))
    )


@cache
def signed(key: bytes, signature: bytes, message: bytes) -> bool:
    """ECDSA P-521 with SHA-512; a key that is no point has signed nothing."""
    if len(key) < 132 or len(signature) < 132:
        return False
    point = ec.EllipticCurvePublicNumbers(
        number(key, 0, 66), number(key, 66, 66), ec.SECP521R1()
    )
    der = encode_dss_signature(number(signature, 0, 66), number(signature, 66, 66))
    try:
        point.public_key().verify(der, message, ec.ECDSA(SHA512()))
    except (InvalidSignature, ValueError):
        return False
    return True


def number(raw: bytes, at: int, size: int) -> int:
    return int.from_bytes(raw[at : at + size], "big")


def sha512(data: bytes) -> bytes:
    return hashlib.sha512(data).digest()
