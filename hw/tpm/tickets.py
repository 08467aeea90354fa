"""Tickets: HMACs by which the TPM knows again what it did (Part 1, "Tickets")."""

from __future__ import annotations

from hmac import compare_digest
from typing import Final

from pefstack.hw.tpm.codes import TpmAlgId
from pefstack.hw.tpm.crypto.hashes import hmac
from pefstack.hw.tpm.state import Internals
from pefstack.hw.tpm.structures import put_tpm2b, put_uint16
from pefstack.hw.tpm.ticket import Ticket

TICKET_ALG: Final = int(TpmAlgId.SHA512)  # CONTEXT_HASH: the longest that there is


def make(inner: Internals, tag: int, hierarchy: int, *parts: bytes) -> Ticket:
    """A ticket of a hierarchy (TPM_RH) over ``parts``; where one part ends counts.

    It is good until the hierarchy gets another proof: for the null hierarchy until the
    next TPM Reset. A command that gives an empty ticket for the null hierarchy makes
    that itself: ``Ticket(tag=tag)``.
    """
    proof = inner.state.hierarchies[hierarchy].proof
    body = b"".join([put_tpm2b(part) for part in parts])
    mac = hmac(TICKET_ALG, proof, put_uint16(tag), body)
    return Ticket(tag=tag, hierarchy=hierarchy, digest=mac)


def check(inner: Internals, ticket: Ticket, *parts: bytes) -> bool:
    """Whether this TPM made the ticket over these parts; an empty one it did not."""
    wanted = make(inner, ticket.tag, ticket.hierarchy, *parts)
    return compare_digest(ticket.digest, wanted.digest)
