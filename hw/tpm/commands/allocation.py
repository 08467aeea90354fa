"""PCR_Allocate (Part 3, "Integrity Collection")."""

from __future__ import annotations

from typing import Final

from pefstack.hw.tpm.codes import BANK_NAME, PCR_COUNT, PCR_SELECT_SIZE, TpmCc
from pefstack.hw.tpm.command import Command, Handle, Parameter
from pefstack.hw.tpm.handles import TPMI_RH_PLATFORM
from pefstack.hw.tpm.pcr import DRTM_PCR, HCRTM_PCR
from pefstack.hw.tpm.response_codes import Refusal, TpmRc
from pefstack.hw.tpm.state import Internals
from pefstack.hw.tpm.structures import (
    TPML_PCR_SELECTION,
    PcrSelect,
    put_uint8,
    put_uint32,
)

_NEEDED: Final = 1 << HCRTM_PCR, 1 << DRTM_PCR


def pcr_allocate(
    inner: Internals, auth_handle: int, pcr_allocation: list[PcrSelect]
) -> tuple[int, int, int, int]:
    """Decide the banks from the next TPM Reset on.

    A bank not named stays as it is, the last of several for one bank counts, and some
    bank must have PCR 0 and some bank PCR 17 (TPM_RC_PCR). Results: allocationSuccess,
    maxPCR, sizeNeeded, sizeAvailable; sizes in bytes of PCR values.
    """
    state, banks = inner.state, inner.settings.banks
    sizes = {alg: inner.settings.digest_sizes[alg] for alg in banks}
    allocation = dict(state.pcrs.allocated)  # not what an earlier one asked
    allocation.update({a: mask for a, mask in pcr_allocation if a in banks})
    for needed in _NEEDED:
        if not any(mask & needed for mask in allocation.values()):
            raise Refusal(TpmRc.PCR)
    size_needed = sum(sizes[alg] * mask.bit_count() for alg, mask in allocation.items())
    state.pending_allocation = allocation
    state.touch()
    inner.journal.add("tpm", "allocate", allocation=_in_words(allocation))
    return 1, PCR_COUNT, size_needed, PCR_COUNT * sum(sizes.values())


def _in_words(allocation: dict[int, int]) -> str:
    """As "sha1:000000 sha256:ffffff": the select bytes of each bank."""
    return " ".join(
        f"{BANK_NAME[alg]}:{mask.to_bytes(PCR_SELECT_SIZE, 'little').hex()}"
        for alg, mask in allocation.items()
    )


PCR_ALLOCATE: Final = Command(
    code=TpmCc.PCR_ALLOCATE,
    action=pcr_allocate,
    handles=(Handle(name="authHandle", type=TPMI_RH_PLATFORM),),
    parameters=(Parameter(name="pcrAllocation", unmarshal=TPML_PCR_SELECTION),),
    results=(put_uint8, put_uint32, put_uint32, put_uint32),
    writes_nv=True,
)
COMMANDS: Final = (PCR_ALLOCATE,)
