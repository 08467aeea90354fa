"""Policy digests: pure formulas, usable without a TPM (tpm.md 3)."""

from __future__ import annotations

from collections.abc import Sequence

from pefstack.hw.tpm.codes import DIGEST_SIZE, TpmAlgId, TpmCc
from pefstack.hw.tpm.pcr import HASH
from pefstack.hw.tpm.selections import Selection, selected, selection_bytes
from pefstack.hw.tpm.structures import put_uint32


def policy_pcr(
    old: bytes,
    selection: Selection,
    values: Sequence[bytes],
    *,
    alg: int = TpmAlgId.SHA256,
) -> bytes:
    """The policyDigest after PolicyPCR: H(old || 0x17F || selection || H(values)).

    ``old`` is the digest before (zeros at first), ``values`` the PCR values in the
    order of the selection: bank by bank, rising PCR numbers. ValueError when sizes or
    numbers do not fit.
    """
    if len(old) != DIGEST_SIZE[alg]:
        raise ValueError(f"a policy digest of {len(old)} bytes")
    sizes = [DIGEST_SIZE[bank] for bank, _ in selected(selection)]
    if [len(value) for value in values] != sizes:
        raise ValueError("the values are not those of the selected PCRs")
    pcr_digest: bytes = HASH[alg](b"".join(values)).digest()
    head = old + put_uint32(TpmCc.POLICY_PCR)
    digest: bytes = HASH[alg](head + selection_bytes(selection) + pcr_digest).digest()
    return digest
