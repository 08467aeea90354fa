"""Hash, HMAC (Part 3, "Symmetric Primitives")."""

from __future__ import annotations

from typing import Any, Final

from pefstack.hw.tpm.buffers import TPM2B_MAX_BUFFER
from pefstack.hw.tpm.codes import TpmCc
from pefstack.hw.tpm.command import Command, Handle, Parameter
from pefstack.hw.tpm.crypto.hashes import digest
from pefstack.hw.tpm.handles import TPMI_DH_OBJECT
from pefstack.hw.tpm.interface_types import (
    TPMI_ALG_HASH,
    TPMI_ALG_HASH_OR_NULL,
    TPMI_RH_HIERARCHY,
)
from pefstack.hw.tpm.message_hashes import (
    begins_like_attestation,
    hash_ticket,
    hmac_key,
)
from pefstack.hw.tpm.signing import keyed_digest
from pefstack.hw.tpm.state import Internals
from pefstack.hw.tpm.structures import put_structure, put_tpm2b
from pefstack.hw.tpm.ticket import Ticket


def hash_message(
    inner: Internals, data: bytes, hash_alg: int, hierarchy: int
) -> tuple[bytes, Ticket]:
    """TPM2_Hash: a digest, and the ticket that the TPM has computed it."""
    made = digest(hash_alg, data)
    is_safe = not begins_like_attestation(data)
    return made, hash_ticket(inner, hierarchy, hash_alg, made, is_safe=is_safe)


def hmac_message(inner: Internals, key: Any, data: bytes, asked: int) -> tuple[bytes]:
    """TPM2_HMAC: with an HMAC key that is not restricted."""
    found, alg = hmac_key(key, asked)
    return (keyed_digest(found, alg, data),)


HASH: Final = Command(
    code=TpmCc.HASH,
    action=hash_message,
    parameters=(
        Parameter(name="data", unmarshal=TPM2B_MAX_BUFFER),
        Parameter(name="hashAlg", unmarshal=TPMI_ALG_HASH),
        Parameter(name="hierarchy", unmarshal=TPMI_RH_HIERARCHY),
    ),
    results=(put_tpm2b, put_structure),
    decrypts=True,
    encrypts=True,
)
HMAC: Final = Command(
    code=TpmCc.HMAC,
    action=hmac_message,
    handles=(Handle(name="handle", type=TPMI_DH_OBJECT),),
    parameters=(
        Parameter(name="buffer", unmarshal=TPM2B_MAX_BUFFER),
        Parameter(name="hashAlg", unmarshal=TPMI_ALG_HASH_OR_NULL),
    ),
    results=(put_tpm2b,),
    decrypts=True,
    encrypts=True,
)
COMMANDS: Final = (HASH, HMAC)
