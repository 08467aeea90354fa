"""_TPM_Hash_Start, _Data, _End: what a processor measures itself (tpm.md 4; Part 1)."""

from __future__ import annotations

from typing import Any, Final

from pefstack.hw.tpm.codes import BANK_NAME, DIGEST_SIZE
from pefstack.hw.tpm.pcr import DRTM_PCR, HASH, HCRTM_PCR
from pefstack.hw.tpm.state import Internals

HCRTM_START: Final = 4  # last byte of PCR 0 before an H-CRTM measurement
RESET_LOCALITIES: Final = (3, 4)  # of the establishment bit; as swtpm answers


def hash_start(inner: Internals) -> None:
    """Begin; a sequence that was not ended is forgotten."""
    state = inner.state
    if not state.powered:
        return
    state.objects.make_room()
    state.hash_sequence = {alg: HASH[alg](b"") for alg in inner.settings.banks}
    if not state.established:
        state.established = True
        state.touch()


def hash_data(inner: Internals, data: bytes) -> None:
    """More data; nothing happens without a beginning."""
    for each in (inner.state.hash_sequence or {}).values():
        each.update(data)


def hash_end(inner: Internals) -> None:
    """Put the digests into PCR 0 or PCR 17; nothing happens without a beginning."""
    state = inner.state
    sequence, state.hash_sequence = state.hash_sequence, None
    if sequence is None:
        return
    if state.started:
        _drtm(inner, sequence)
    else:
        state.hcrtm = _values(inner, HCRTM_PCR, sequence, HCRTM_START)


def _drtm(inner: Internals, sequence: dict[int, Any]) -> None:
    """PCR 17 to 22 become zeros; a restart is counted, as the reference does."""
    state = inner.state
    state.pcrs.start_drtm(_values(inner, DRTM_PCR, sequence, 0))
    state.restart_count = state.restart_count + 1 & 0xFFFFFFFF
    state.touch()


def _values(
    inner: Internals, pcr: int, sequence: dict[int, Any], start: int
) -> dict[int, bytes]:
    """H(start || digest) in each bank that has the PCR; each is noted."""
    values: dict[int, bytes] = {}
    for alg, each in sequence.items():
        if not inner.state.pcrs.allocated[alg] >> pcr & 1:
            continue
        digest: bytes = each.digest()
        first = start.to_bytes(DIGEST_SIZE[alg], "big")
        values[alg] = HASH[alg](first + digest).digest()
        inner.journal.add(
            "tpm",
            "hash-sequence",
            pcr=pcr,
            bank=BANK_NAME[alg],
            digest=digest.hex(),
            value=values[alg].hex(),
        )
    return values


def reset_established(inner: Internals, locality: int) -> bool:
    """Clear the bit at locality 3 or 4; False, and no change, at others."""
    if locality not in RESET_LOCALITIES:
        return False
    inner.state.established = False
    inner.state.touch()
    return True
