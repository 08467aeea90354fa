"""The hashes of `cryptography` by TPM_ALG_ID: for its padding and its signatures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cryptography.hazmat.primitives.hashes import (
    SHA1,
    SHA256,
    SHA384,
    SHA512,
    HashAlgorithm,
)

from pefstack.hw.tpm.codes import TpmAlgId

HASH_OBJECT: Final[Mapping[int, HashAlgorithm]] = {
    TpmAlgId.SHA1: SHA1(),  # noqa: S303
    TpmAlgId.SHA256: SHA256(),
    TpmAlgId.SHA384: SHA384(),
    TpmAlgId.SHA512: SHA512(),
}


def hash_object(alg: int) -> HashAlgorithm:
    """The package's hash; ValueError for an algorithm that is not here."""
    try:
        return HASH_OBJECT[alg]
    except KeyError:
        raise ValueError(f"no hash algorithm 0x{alg:04x}") from None
