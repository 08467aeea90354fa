"""TPMS_NV_PUBLIC: the public area of an NV index (Part 2, 13.5)."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final

from pefstack.hw.tpm.buffers import TPM2B_DIGEST
from pefstack.hw.tpm.codes import MAX_NV_INDEX_SIZE, NV_TYPE_SHIFT, TpmaNv
from pefstack.hw.tpm.interface_types import TPMA_NV, TPMI_ALG_HASH, TPMI_RH_NV_INDEX
from pefstack.hw.tpm.response_codes import Refusal, TpmRc
from pefstack.hw.tpm.structures import UINT16, Reader, put_tpm2b, put_uint16, sized

_HEAD: Final = Struct(">IHI")


@dataclass(frozen=True, slots=True, kw_only=True)
class NvPublic:
    """TPMS_NV_PUBLIC; ``attributes`` is a TPMA_NV, ``data_size`` in bytes."""

    index: int
    name_alg: int
    attributes: int
    auth_policy: bytes = b""
    data_size: int

    @property
    def nv_type(self) -> int:
        """TPM_NT, out of the attributes."""
        return (self.attributes & TpmaNv.TYPE) >> NV_TYPE_SHIFT

    def to_bytes(self) -> bytes:
        """The structure, as its Name is the digest of."""
        head = _HEAD.pack(self.index, self.name_alg, self.attributes)
        return head + put_tpm2b(self.auth_policy) + put_uint16(self.data_size)


def data_size(reader: Reader) -> int:
    """The size of an index; TPM_RC_SIZE above MAX_NV_INDEX_SIZE."""
    size = UINT16(reader)
    if size > MAX_NV_INDEX_SIZE:
        raise Refusal(TpmRc.SIZE)
    return size


def nv_public(reader: Reader) -> NvPublic:
    """TPMS_NV_PUBLIC."""
    return NvPublic(
        index=TPMI_RH_NV_INDEX(reader),
        name_alg=TPMI_ALG_HASH(reader),
        attributes=TPMA_NV(reader),
        auth_policy=TPM2B_DIGEST(reader),
        data_size=data_size(reader),
    )


TPMS_NV_PUBLIC: Final = nv_public
TPM2B_NV_PUBLIC: Final = sized(TPMS_NV_PUBLIC)
