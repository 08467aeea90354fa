"""TPMS_CONTEXT: an object or a session put away (Part 2, 14.5)."""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import Struct
from typing import Final

from pefstack.hw.tpm.buffers import TPM2B_CONTEXT_DATA
from pefstack.hw.tpm.interface_types import TPMI_DH_SAVED, TPMI_RH_HIERARCHY
from pefstack.hw.tpm.structures import UINT64, Reader, put_tpm2b

_HEAD: Final = Struct(">QII")


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """TPMS_CONTEXT; ``blob`` is opaque to everyone but the TPM that made it."""

    sequence: int
    saved_handle: int
    hierarchy: int
    blob: bytes = field(repr=False)

    def to_bytes(self) -> bytes:
        """The structure."""
        head = _HEAD.pack(self.sequence, self.saved_handle, self.hierarchy)
        return head + put_tpm2b(self.blob)


def context(reader: Reader) -> Context:
    """TPMS_CONTEXT."""
    return Context(
        sequence=UINT64(reader),
        saved_handle=TPMI_DH_SAVED(reader),
        hierarchy=TPMI_RH_HIERARCHY(reader),
        blob=TPM2B_CONTEXT_DATA(reader),
    )


TPMS_CONTEXT: Final = context
