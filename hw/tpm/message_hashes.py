"""Hashes of messages, and the ticket that one was computed here (Part 1, "Tickets")."""

from __future__ import annotations

from pefstack.hw.tpm import tickets
from pefstack.hw.tpm.attestation import GENERATED
from pefstack.hw.tpm.codes import TpmAlgId, TpmaObject, TpmRh, TpmSt
from pefstack.hw.tpm.object_keys import has, kind_of
from pefstack.hw.tpm.objects import Loadable, TpmObject
from pefstack.hw.tpm.response_codes import RC_1, RC_P, Refusal, TpmRc
from pefstack.hw.tpm.signing import key_scheme
from pefstack.hw.tpm.state import Internals
from pefstack.hw.tpm.structures import put_uint16
from pefstack.hw.tpm.ticket import Ticket

_KEY = RC_1
_HASH_ALG = RC_P + 2 * RC_1


def hash_ticket(
    inner: Internals, hierarchy: int, alg: int, digest: bytes, *, is_safe: bool
) -> Ticket:
    """The ticket with which a restricted key signs the digest.

    Empty for the null hierarchy, and for a message that begins like an attestation:
    else anybody could have one signed that the TPM never made.
    """
    if hierarchy == TpmRh.NULL or not is_safe:
        return Ticket(tag=TpmSt.HASHCHECK)
    return tickets.make(inner, TpmSt.HASHCHECK, hierarchy, put_uint16(alg), digest)


def begins_like_attestation(message: bytes) -> bool:
    """Whether the first bytes are TPM_GENERATED_VALUE."""
    return message.startswith(GENERATED)


def is_safe_block(block: bytes) -> bool:
    """Whether the first block of a sequence rules an attestation out."""
    return len(block) >= len(GENERATED) and not begins_like_attestation(block)


def hmac_key(loaded: Loadable, asked: int) -> tuple[TpmObject, int]:
    """The key of HMAC and HMAC_Start, and the hash: its own, or the one asked for."""
    if not isinstance(loaded, TpmObject) or kind_of(loaded) != TpmAlgId.KEYEDHASH:
        raise Refusal(TpmRc.TYPE + _KEY)
    if has(loaded, TpmaObject.RESTRICTED):
        raise Refusal(TpmRc.ATTRIBUTES + _KEY)
    own = key_scheme(loaded).hash_alg
    alg = asked if own == TpmAlgId.NULL else own
    if alg == TpmAlgId.NULL or asked not in (alg, TpmAlgId.NULL):
        raise Refusal(TpmRc.VALUE + _HASH_ALG)
    if not has(loaded, TpmaObject.SIGN):
        raise Refusal(TpmRc.KEY + _KEY)
    return loaded, alg
