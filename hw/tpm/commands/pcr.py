"""PCR_Extend, PCR_Event, PCR_Read, PCR_Reset (Part 3, "Integrity Collection")."""

from __future__ import annotations

from typing import Final

from pefstack.hw.tpm.codes import (
    BANK_NAME,
    MAX_DIGEST_BUFFER,
    MAX_PCR_DIGESTS,
    TpmCc,
)
from pefstack.hw.tpm.command import Command, Handle, Parameter
from pefstack.hw.tpm.entities import Pcr
from pefstack.hw.tpm.handles import TPMI_DH_PCR, TPMI_DH_PCR_OR_NULL
from pefstack.hw.tpm.hierarchies import Hierarchy
from pefstack.hw.tpm.pcr import EXTEND_MASKS, HASH, RESET_MASKS, SAVED_MASK
from pefstack.hw.tpm.response_codes import Refusal, TpmRc
from pefstack.hw.tpm.state import Internals
from pefstack.hw.tpm.structures import (
    TPML_DIGEST_VALUES,
    TPML_PCR_SELECTION,
    PcrSelect,
    TaggedDigest,
    put_digest_values,
    put_digests,
    put_pcr_selections,
    put_uint32,
    tpm2b,
)


def pcr_extend(
    inner: Internals, pcr_handle: Pcr | Hierarchy, digests: list[TaggedDigest]
) -> tuple[()]:
    """H(old || digest) in each bank named; banks without this PCR are ignored."""
    if isinstance(pcr_handle, Hierarchy):  # TPM_RH_NULL
        return ()
    check_extend(inner, pcr_handle)
    for alg, digest in digests:
        value = inner.state.pcrs.extend(alg, pcr_handle, digest)
        if value is not None:
            _note_extend(inner, pcr_handle, alg, digest, value)
    return ()


def check_extend(inner: Internals, pcr: Pcr) -> None:
    """TPM_RC_LOCALITY where the locality of the command may not extend a PCR."""
    if not EXTEND_MASKS[inner.locality] >> pcr & 1:
        raise Refusal(TpmRc.LOCALITY)


def _note_extend(
    inner: Internals, pcr: int, alg: int, digest: bytes, value: bytes
) -> None:
    if SAVED_MASK >> pcr & 1:
        inner.state.change_saved()
    if not inner.journal.keeps:
        return
    inner.journal.add(
        "tpm",
        "extend",
        pcr=pcr,
        bank=BANK_NAME[alg],
        digest=digest.hex(),
        value=value.hex(),
    )


def pcr_event(
    inner: Internals, pcr_handle: Pcr | Hierarchy, event_data: bytes
) -> tuple[list[TaggedDigest]]:
    """Hash the data for every implemented bank, extend, and give the digests."""
    digests: list[TaggedDigest] = [
        (alg, HASH[alg](event_data).digest()) for alg in inner.settings.banks
    ]
    pcr_extend(inner, pcr_handle, digests)
    return (digests,)


def pcr_read(
    inner: Internals, selections: list[PcrSelect]
) -> tuple[int, list[PcrSelect], list[bytes]]:
    """The first eight values selected; the answered selection says which."""
    pcrs = inner.state.pcrs
    answered, digests = pcrs.read(selections, MAX_PCR_DIGESTS)
    return pcrs.update_counter, answered, digests


def pcr_reset(inner: Internals, pcr_handle: Pcr) -> tuple[()]:
    """Zeros, where the locality may."""
    if not RESET_MASKS[inner.locality] >> pcr_handle & 1:
        raise Refusal(TpmRc.LOCALITY)
    inner.state.pcrs.reset(pcr_handle)
    inner.journal.add("tpm", "reset-pcr", pcr=pcr_handle)
    return ()


PCR_EXTEND: Final = Command(
    code=TpmCc.PCR_EXTEND,
    action=pcr_extend,
    handles=(Handle(name="pcrHandle", type=TPMI_DH_PCR_OR_NULL),),
    parameters=(Parameter(name="digests", unmarshal=TPML_DIGEST_VALUES),),
    writes_nv=True,
)
PCR_EVENT: Final = Command(
    code=TpmCc.PCR_EVENT,
    action=pcr_event,
    handles=(Handle(name="pcrHandle", type=TPMI_DH_PCR_OR_NULL),),
    parameters=(Parameter(name="eventData", unmarshal=tpm2b(MAX_DIGEST_BUFFER)),),
    results=(put_digest_values,),
    writes_nv=True,
    decrypts=True,
)
PCR_READ: Final = Command(
    code=TpmCc.PCR_READ,
    action=pcr_read,
    parameters=(Parameter(name="pcrSelectionIn", unmarshal=TPML_PCR_SELECTION),),
    results=(put_uint32, put_pcr_selections, put_digests),
)
PCR_RESET: Final = Command(
    code=TpmCc.PCR_RESET,
    action=pcr_reset,
    handles=(Handle(name="pcrHandle", type=TPMI_DH_PCR),),
    writes_nv=True,
)
COMMANDS: Final = (
    PCR_EXTEND,
    PCR_EVENT,
    PCR_READ,
    PCR_RESET,
)
