"""What a kind-1 slot of an ESM operand holds (esm.md 5.2)."""

from __future__ import annotations

from dataclasses import dataclass

from pefstack.hw.tpm.codes import TpmAlgId
from pefstack.hw.tpm.crypto.hashes import digest


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedObject:
    """What a kind-1 slot holds: the contents of its three TPM2B."""

    public: bytes
    duplicate: bytes
    seed: bytes

    @property
    def name(self) -> bytes:
        """The Name of the sealed object: nameAlg SHA-256."""
        return TpmAlgId.SHA256.to_bytes(2, "big") + digest(TpmAlgId.SHA256, self.public)
