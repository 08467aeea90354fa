"""TPMS_CREATION_DATA: in what surroundings an object was made (Part 2, 15.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from pefstack.hw.tpm.codes import DIGEST_SIZE, PCR_COUNT, TpmAlgId, TpmSt
from pefstack.hw.tpm.crypto.hashes import digest
from pefstack.hw.tpm.objects import TpmObject
from pefstack.hw.tpm.state import Internals
from pefstack.hw.tpm.structures import (
    PcrSelect,
    put_pcr_selections,
    put_tpm2b,
    put_uint8,
    put_uint16,
)
from pefstack.hw.tpm.ticket import Ticket
from pefstack.hw.tpm.tickets import make

_FIRST_EXTENDED_LOCALITY: Final = 32
_ALL: Final = PCR_COUNT * len(DIGEST_SIZE)  # PCR values


@dataclass(frozen=True, slots=True, kw_only=True)
class CreationData:
    """The structure; ``locality`` is a TPMA_LOCALITY.

    For a primary object both Names of the parent are its hierarchy's handle.
    """

    pcr_select: list[PcrSelect]
    pcr_digest: bytes
    locality: int
    parent_name_alg: int
    parent_name: bytes
    parent_qualified_name: bytes
    outside_info: bytes

    def to_bytes(self) -> bytes:
        """The structure, as creationHash is the digest of."""
        return b"".join(
            (
                put_pcr_selections(self.pcr_select),
                put_tpm2b(self.pcr_digest),
                put_uint8(self.locality),
                put_uint16(self.parent_name_alg),
                put_tpm2b(self.parent_name),
                put_tpm2b(self.parent_qualified_name),
                put_tpm2b(self.outside_info),
            )
        )


def locality_bits(locality: int) -> int:
    """TPMA_LOCALITY: a bit each for 0 to 4, the number itself from 32 on."""
    return 1 << locality if locality < _FIRST_EXTENDED_LOCALITY else locality


def creation_data(
    inner: Internals,
    parent: Any,
    name_alg: int,
    outside_info: bytes,
    creation_pcr: list[PcrSelect],
) -> CreationData:
    """What is so now; ``parent`` is an object or a hierarchy."""
    selection, values = inner.state.pcrs.read(creation_pcr, _ALL)
    is_object = isinstance(parent, TpmObject)
    return CreationData(
        pcr_select=selection,
        pcr_digest=digest(name_alg, *values),
        locality=locality_bits(inner.locality),
        parent_name_alg=parent.public.name_alg if is_object else TpmAlgId.NULL,
        parent_name=parent.name,
        parent_qualified_name=parent.qualified_name if is_object else parent.name,
        outside_info=outside_info,
    )


def creation_ticket(
    inner: Internals, hierarchy: int, name: bytes, creation_hash: bytes
) -> Ticket:
    """The ticket that CertifyCreation asks for."""
    return make(inner, TpmSt.CREATION, hierarchy, name, creation_hash)
