"""Names: what entities are known by in policies and HMACs (Part 1, tpm.md 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pefstack.hw.tpm.codes import TpmAlgId
from pefstack.hw.tpm.crypto.hashes import digest
from pefstack.hw.tpm.structures import put_uint16, put_uint32

if TYPE_CHECKING:
    from pefstack.hw.tpm.nv_public import NvPublic
    from pefstack.hw.tpm.public import Public


def handle_name(handle: int) -> bytes:
    """The Name of a PCR, a permanent handle or a session: the handle itself."""
    return put_uint32(handle)


def object_name(public: Public) -> bytes:
    """nameAlg || H(TPMT_PUBLIC); empty for an object without a nameAlg."""
    if public.name_alg == TpmAlgId.NULL:
        return b""
    return _name(public.name_alg, public.to_bytes())


def nv_name(nv_public: NvPublic) -> bytes:
    """nameAlg || H(TPMS_NV_PUBLIC), with the state bits as they are now."""
    return _name(nv_public.name_alg, nv_public.to_bytes())


def qualified_name(parent_qn: bytes, name: bytes) -> bytes:
    """nameAlg || H(QN of the parent || Name); of a primary key the parent's QN is
    the Name of its hierarchy. Empty for an object without a Name."""
    if not name:
        return b""
    return _name(int.from_bytes(name[:2], "big"), parent_qn + name)


def _name(alg: int, content: bytes) -> bytes:
    return put_uint16(alg) + digest(alg, content)
