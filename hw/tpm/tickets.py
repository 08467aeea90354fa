"""Tickets: HMACs by which the TPM knows again what it did itself (Part 1)."""

from __future__ import annotations

from hmac import compare_digest
from typing import Final

from pefstack.hw.tpm.codes import TpmAlgId, TpmRh
from pefstack.hw.tpm.crypto.hashes import hmac
from pefstack.hw.tpm.state import Internals
from pefstack.hw.tpm.structures import put_uint16
from pefstack.hw.tpm.ticket import Ticket

_ALG: Final = TpmAlgId.SHA512


def make(inner: Internals, tag: int, hierarchy: int, *parts: bytes) -> Ticket:
    """A ticket of a hierarchy; an empty one of the null hierarchy proves nothing."""
    if hierarchy == TpmRh.NULL:
        return Ticket(tag=tag)
    made = _digest(inner, tag, hierarchy, parts)
    return Ticket(tag=tag, hierarchy=hierarchy, digest=made)


def check(inner: Internals, ticket: Ticket, *parts: bytes) -> bool:
    """Whether this TPM made it for these parts, and its hierarchy is still the same."""
    if ticket.hierarchy == TpmRh.NULL:
        return False
    made = _digest(inner, ticket.tag, ticket.hierarchy, parts)
    return compare_digest(ticket.digest, made)


def _digest(
    inner: Internals, tag: int, hierarchy: int, parts: tuple[bytes, ...]
) -> bytes:
    proof = inner.state.hierarchies[hierarchy].proof
    return hmac(_ALG, proof, put_uint16(tag), *parts)
