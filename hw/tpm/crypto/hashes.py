"""Hash and HMAC by TPM_ALG_ID, and the hashes of a command (Part 1, 11.4.2, 16.7)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from hmac import digest as keyed_digest
from typing import Any, Final

from pefstack.hw.tpm.codes import TpmAlgId

HASH: Final[Mapping[int, Callable[..., Any]]] = {
    TpmAlgId.SHA1: hashlib.sha1,
    TpmAlgId.SHA256: hashlib.sha256,
    TpmAlgId.SHA384: hashlib.sha384,
    TpmAlgId.SHA512: hashlib.sha512,
}


def digest(alg: int, *parts: bytes) -> bytes:
    """H(parts, one after another); ValueError for an algorithm that is not here."""
    value: bytes = constructor(alg)(b"".join(parts)).digest()
    return value


def hmac(alg: int, key: bytes, *parts: bytes) -> bytes:
    """HMAC(key, parts one after another); ValueError for an unknown algorithm."""
    return keyed_digest(key, b"".join(parts), constructor(alg))


def constructor(alg: int) -> Callable[..., Any]:
    """The `hashlib` function of a TPM_ALG_ID."""
    try:
        return HASH[alg]
    except KeyError:
        raise ValueError(f"no hash algorithm 0x{alg:04x}") from None


def cp_hash(alg: int, command_code: int, names: bytes, parameters: bytes) -> bytes:
    """H(commandCode || Names of the handles || parameters as sent)."""
    return digest(alg, command_code.to_bytes(4, "big"), names, parameters)


def rp_hash(alg: int, command_code: int, parameters: bytes) -> bytes:
    """H(rc 0 || commandCode || response parameters as sent)."""
    return digest(alg, bytes(4), command_code.to_bytes(4, "big"), parameters)
