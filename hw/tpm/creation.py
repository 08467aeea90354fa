"""TPMS_CREATION_DATA: under what circumstances a key was made (Part 2, 15)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pefstack.hw.tpm.buffers import TPM2B_DATA, TPM2B_DIGEST, TPM2B_NAME
from pefstack.hw.tpm.codes import TpmAlgId
from pefstack.hw.tpm.interface_types import TPMA_LOCALITY
from pefstack.hw.tpm.structures import (
    TPML_PCR_SELECTION,
    UINT16,
    PcrSelect,
    Reader,
    put_pair,
    put_pcr_selections,
    put_tpm2b,
    put_uint8,
    put_uint16,
    sized,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CreationData:
    """TPMS_CREATION_DATA; ``locality`` is a TPMA_LOCALITY.

    ``parent_name_alg`` is NULL and both names are the hierarchy's handle for a
    primary key.
    """

    pcr_select: tuple[PcrSelect, ...] = ()
    pcr_digest: bytes = b""
    locality: int
    parent_name_alg: int = TpmAlgId.NULL
    parent_name: bytes
    parent_qualified_name: bytes
    outside_info: bytes = b""

    def to_bytes(self) -> bytes:
        """The structure, as creationHash is the digest of."""
        head = put_pcr_selections(list(self.pcr_select)) + put_tpm2b(self.pcr_digest)
        head += put_uint8(self.locality) + put_uint16(self.parent_name_alg)
        names = put_pair((self.parent_name, self.parent_qualified_name))
        return head + names + put_tpm2b(self.outside_info)


def creation_data(reader: Reader) -> CreationData:
    """TPMS_CREATION_DATA."""
    return CreationData(
        pcr_select=tuple(TPML_PCR_SELECTION(reader)),
        pcr_digest=TPM2B_DIGEST(reader),
        locality=TPMA_LOCALITY(reader),
        parent_name_alg=UINT16(reader),
        parent_name=TPM2B_NAME(reader),
        parent_qualified_name=TPM2B_NAME(reader),
        outside_info=TPM2B_DATA(reader),
    )


TPMS_CREATION_DATA: Final = creation_data
TPM2B_CREATION_DATA: Final = sized(TPMS_CREATION_DATA)
