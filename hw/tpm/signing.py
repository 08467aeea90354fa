"""Signatures of objects (placeholder of the signing part)."""

from __future__ import annotations

from pefstack.hw.tpm.objects import TpmObject
from pefstack.hw.tpm.response_codes import Refusal, TpmRc
from pefstack.hw.tpm.signature import Signature


def verify_signature(key: TpmObject, digest: bytes, signature: Signature) -> None:
    """Refuses."""
    raise Refusal(TpmRc.SIGNATURE)
