"""TPMT_TK: tickets, by which the TPM knows again what it did (Part 2, 10.7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pefstack.hw.tpm.buffers import TPM2B_DIGEST
from pefstack.hw.tpm.codes import TpmRh, TpmSt
from pefstack.hw.tpm.interface_types import TPMI_RH_HIERARCHY
from pefstack.hw.tpm.response_codes import TpmRc
from pefstack.hw.tpm.structures import (
    UINT16,
    Reader,
    Unmarshal,
    one_of,
    put_tpm2b,
    put_uint16,
    put_uint32,
)

# TPM_ST: any tag the reference knows; a newer one is unknown to it
_TPM_ST: Final = one_of(
    UINT16, frozenset(TpmSt) - {TpmSt.ATTEST_NV_DIGEST}, TpmRc.VALUE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A ticket of any kind: ``tag`` says which, ``digest`` is an HMAC or empty."""

    tag: int
    hierarchy: int = TpmRh.NULL
    digest: bytes = b""

    def to_bytes(self) -> bytes:
        """The structure."""
        head = put_uint16(self.tag) + put_uint32(self.hierarchy)
        return head + put_tpm2b(self.digest)


def _ticket(*tags: int) -> Unmarshal[Ticket]:
    tag_of = one_of(_TPM_ST, frozenset(int(tag) for tag in tags), TpmRc.TAG)

    def unmarshal(reader: Reader) -> Ticket:
        return Ticket(
            tag=tag_of(reader),
            hierarchy=TPMI_RH_HIERARCHY(reader),
            digest=TPM2B_DIGEST(reader),
        )

    return unmarshal


TPMT_TK_CREATION: Final = _ticket(TpmSt.CREATION)
TPMT_TK_VERIFIED: Final = _ticket(TpmSt.VERIFIED)
TPMT_TK_AUTH: Final = _ticket(TpmSt.AUTH_SIGNED, TpmSt.AUTH_SECRET)
TPMT_TK_HASHCHECK: Final = _ticket(TpmSt.HASHCHECK)
